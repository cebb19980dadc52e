"""Fit a classifier on the features of a frozen network, which are computed once and kept.

The linear probe is written as a run's folder, which `evaluate`, `predict`, `report` and `export`
take. Beside it stand the vote of the nearest neighbours and retrieval among the training images.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from trickbag.cli.recipe_options import add_places, assignment, places_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trickbag.recipe import Recipe
    from trickbag.train.folder.result import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        default="digits",
        help="digits (default), a folder, a CSV file, an .arrow pack, torchvision:NAME, hf:NAME, "
        "or wds:URL",
    )
    add_places(parser)
    parser.add_argument(
        "--model",
        metavar="NAME|RUN",
        required=True,
        help="a name of `trickbag list models`, timm:NAME, a run's folder, or a weights file of a "
        "run",
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--init", metavar="WEIGHTS", help="the weights of a network that is given by its name"
    )
    weights.add_argument(
        "--pretrained", action="store_true", help="take the weights that timm publishes"
    )
    parser.add_argument(
        "--image-size", metavar="PX|HxW", help="default: the size that the weights are for"
    )
    parser.add_argument("--batch-size", metavar="N", help="images that the network sees at a time")
    parser.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="change a setting, such as training.probe.l2=0.1 or data.resize=squash",
    )
    parser.add_argument("--seed", metavar="N", help="of the division into folds; default: 0")
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps")
    parser.add_argument(
        "--out", metavar="DIR", help="the run's folder (default: a fresh one under runs)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on in --out, where a probe was stopped"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Fit the probe, write the run's folder with its report, and print the scores; return 0."""
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.errors import UserError
    from trickbag.ranges import Seed

    if args.resume and args.out is None:
        raise UserError("--resume needs the folder of the probe to go on with: --out DIR")
    seed = optional(Annotated[int, Seed], args.seed, "--seed") or 0
    recipe = _recipe(args)
    if recipe.training.probe is None:
        raise UserError(
            "training.probe = none: nothing is left to probe", "`trickbag train` trains"
        )
    from trickbag.train.fit import fit
    from trickbag.train.folder.caller import COMMAND_LINE
    from trickbag.train.folder.log import choose_log

    # With --json stdout has the object alone.
    log = choose_log(sys.stderr if args.json else sys.stdout)
    result = fit(recipe, seed, args.out, resume=args.resume, log=log, caller=COMMAND_LINE)
    _conclude(result, as_json=args.json)
    return 0


def _recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe that the arguments describe; UserError if one of them is wrong."""
    from trickbag.recipes.probe import probe

    recipe = probe(model=args.model, init=args.init, pretrained=args.pretrained)
    settings = {
        "data.source": args.data,
        "data.image_size": args.image_size,
        "training.batch_size": args.batch_size,
        "training.device": args.device,
        **places_of(args),
    }
    # Last, so that it wins over the options above that set the same thing.
    settings |= dict(assignment(text, "training.probe.l2=0.1") for text in args.set)
    return recipe.set_all({path: value for path, value in settings.items() if value is not None})


def _conclude(result: Result, *, as_json: bool) -> None:
    """Write the page, unless it is there, and print what came out."""
    from pathlib import Path

    from trickbag.cli.terminal import print_json, print_line, stopped_at_report
    from trickbag.report import run_page
    from trickbag.report.run.images import pictures_of
    from trickbag.settings import plain
    from trickbag.train.folder.run_folder import RunFolder
    from trickbag.train.probe.record import ProbeRecord

    folder = Path(result.folder)
    page = folder / "report.html"
    if not page.exists():
        with stopped_at_report(folder, "run"):
            run_page(folder, pictures=pictures_of(folder))
    record = ProbeRecord.read(RunFolder(folder).probe)
    if as_json:
        print_json(
            {"run": result.folder, "probe": None if record is None else plain(record)}
            | result.to_dict()
        )
        return
    for line in _lines(result, record):
        print_line(line)
    print_line(f"run: {folder}")
    print_line(f"report: {page}")


def _lines(result: Result, record: Any) -> Iterator[str]:
    """Yield a line for each score of each part, with its interval over images."""
    from trickbag.cli.terminal import aligned
    from trickbag.metrics.metric import EVALUATED, PROBED
    from trickbag.report.format import interval_text, number, unit

    names = ("top1", "map", "loss", *PROBED)
    tested = any(name.startswith("test_") for name in result.metrics)
    parts = {"validation": "", **({"test": "test_"} if tested else {})}
    rows = [["", *parts]]
    for name in names:
        if result.metrics.get(name) is None:
            continue
        entry = EVALUATED.get(name) or PROBED[name]
        row = [f"linear probe: {entry.title}" if name in EVALUATED else entry.title]
        for prefix in parts.values():
            text = f"{number(name, result.metrics.get(f'{prefix}{name}'))} {unit(name)}".rstrip()
            ends = interval_text(name, result.intervals.get(f"{prefix}{name}"))
            row.append(f"{text} ({ends})" if ends else text)
        rows.append(row)
    yield from aligned(rows)
    if record is not None:
        yield (
            f"{record.num_features:,} features of an image; {record.train_images:,} training "
            f"images; features {record.features_s:.1f} s ({record.computed:,} images computed), "
            f"probe {record.fit_s:.1f} s"
        )
