"""Weigh cross-validations of the same data by their out-of-fold predictions.

The file is a RUN of predict and evaluate: the mean of the probabilities of its members, by these
weights. A member that does not help on more than one fold is rejected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.evaluate.blend_file import BlendFile


LIST = "runs"
"""The list of arguments that goes on behind options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "runs", metavar="DIR", nargs="+", help="folders of `train --folds`, two or more"
    )
    parser.add_argument("--out", metavar="FILE", help="the file to write, such as blend.json")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Fit the weights, write the file and print them; return 0."""
    from pathlib import Path

    from trickbag.cli.options import output_file
    from trickbag.cli.terminal import aligned, print_json, print_line, warn
    from trickbag.cross_validation.blend import blend_runs
    from trickbag.errors import UserError
    from trickbag.paths import expanded
    from trickbag.settings import plain

    if args.out is None:
        raise UserError("blend needs the file to write: --out FILE", "such as --out blend.json")
    runs = [expanded(run) for run in args.runs]
    out = output_file(args.out, "--out", Path(args.runs[0]))
    if out.suffix != ".json":
        raise UserError(f"--out {args.out!r}: must end in .json, by which predict knows a blend")
    blend = blend_runs(runs, out)
    blend.write(out)
    if args.json:
        print_json({"blend": str(out), **plain(blend)})
        return 0
    for line in aligned([["run", "weight", "loss", "helps on", ""], *_rows(blend)]):
        print_line(line)
    print_line(
        f"cross-fitted loss of the blend {blend.loss:.4f}, of the mean of all "
        f"{blend.mean_loss:.4f}, of the best alone {blend.best_loss:.4f} nats, "
        f"{blend.images:,} images"
    )
    for note in blend.notes:
        warn("blend", note)
    print_line(f"blend: {out}")
    return 0


def _rows(blend: BlendFile) -> Iterator[list[str]]:
    for member in blend.members:
        helps_on = "" if member.helps_on is None else f"{member.helps_on} of {blend.folds} folds"
        rejected = "" if member.rejected is None else f"rejected: {member.rejected}"
        yield [member.run, f"{member.weight:.3f}", f"{member.loss:.4f}", helps_on, rejected]
