"""Average the weights of runs of one recipe to one network, a model soup.

It predicts at the cost of one network. The runs are best fine-tuned from the same weights. The file
is a RUN of predict and evaluate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.cli.options import add_precision

if TYPE_CHECKING:
    import argparse


LIST = "runs"
"""The list of arguments that goes on behind options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folders of runs, two or more")
    parser.add_argument(
        "--out", metavar="FILE", help="the weights to write, such as soup.safetensors"
    )
    parser.add_argument(
        "--greedy",
        action="store_true",
        help="take a run into the mean only where the score on validation images does not fall",
    )
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", default="auto")
    add_precision(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Average, write the weights and print the scores; return 0."""
    from pathlib import Path

    from trickbag.cli.options import output_file, precision_of
    from trickbag.cli.terminal import print_json, print_line, warn
    from trickbag.errors import UserError
    from trickbag.optim.config import Device
    from trickbag.parsing import parse

    device = parse(Device, args.device, "--device")
    precision = precision_of(args)
    if args.out is None:
        raise UserError("soup needs the file to write: --out FILE", "such as soup.safetensors")
    for each in args.runs:
        out = output_file(args.out, "--out", Path(each))
    if out.suffix != ".safetensors":
        raise UserError(f"--out {args.out!r}: must end in .safetensors")

    from trickbag.evaluate.soup import cook
    from trickbag.evaluate.trained import Trained
    from trickbag.metrics.metric import EVALUATED
    from trickbag.models.weights import save_weights

    trained = [Trained.load(each, device, precision) for each in args.runs]

    def announce(line: str) -> None:
        if not args.json:
            print_line(line)

    soup = cook(trained, greedy=args.greedy, announce=announce)
    save_weights(soup.trained.network, out, soup.trained.metadata)
    used = [args.runs[i] for i in soup.ingredients]
    if args.json:
        print_json(
            {
                "soup": str(out),
                "score": soup.score,
                "scores": dict(zip(args.runs, soup.scores, strict=True)),
                "soup_score": soup.soup_score,
                "runs": used,
                "images": soup.images,
                "notes": [note.to_dict() for note in soup.notes],
            }
        )
        return 0
    for note in soup.notes:
        warn("soup", note.text)
    print_line(
        f"soup of {len(used)} of {len(args.runs)} runs: {EVALUATED[soup.score].title} "
        f"{soup.soup_score:.2f}, the best run {max(soup.scores):.2f}, {soup.images:,} validation "
        f"images of {args.runs[0]}, in {soup.trained.precision}"
    )
    print_line(f"weights: {out}")
    return 0
