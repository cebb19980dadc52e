"""Evaluate the kept weights of a run on its validation images, or on other labelled images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.cli.options import RUN_HELP, add_precision

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.evaluate.evaluation import Evaluation

_NAMED_FILES = 10
_SHOWN_CLASSES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="other images: digits, a folder, a CSV file, torchvision:NAME, hf:NAME, or wds:URL",
    )
    parser.add_argument(
        "--image-root",
        metavar="DIR",
        action="append",
        help="where a table's images or a torchvision data set lie; can be given again",
    )
    parser.add_argument(
        "--part",
        metavar="train|val|test",
        help="default: val; of other data that have no val: test, or else all",
    )
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", default="auto")
    add_precision(parser)
    parser.add_argument("--batch-size", metavar="N")
    parser.add_argument("--workers", metavar="N", help="processes that read and crop images")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the metrics; return 0."""
    from typing import Annotated, Literal

    from trickbag.cli.options import optional, precision_of
    from trickbag.cli.terminal import checking_progress, print_json, print_line, warn
    from trickbag.data.config import MAX_WORKERS
    from trickbag.optim.config import MAX_BATCH, Device
    from trickbag.parsing import parse
    from trickbag.ranges import AtLeast

    device = parse(Device, args.device, "--device")
    part = optional(Literal["train", "val", "test"], args.part, "--part")
    batch_size = optional(Annotated[int, AtLeast(1, MAX_BATCH)], args.batch_size, "--batch-size")
    workers = optional(Annotated[int, AtLeast(0, MAX_WORKERS)], args.workers, "--workers")
    precision = precision_of(args)

    # Behind the check of the options: torch takes seconds to import, a wrong option should not.
    from trickbag.evaluate.evaluation import evaluate
    from trickbag.evaluate.trained import Trained

    trained = Trained.load(args.run, device, precision)
    with checking_progress() as progress:
        evaluation = evaluate(
            trained,
            data=args.data,
            image_root=None if args.image_root is None else tuple(args.image_root),
            part=part,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    if args.json:
        print_json({"run": args.run, **evaluation.to_dict()})
        return 0
    for line in _lines(evaluation):
        print_line(line)
    for note in evaluation.notes:
        warn("evaluate", note.text)
    return 0


def _lines(evaluation: Evaluation) -> Iterator[str]:
    from trickbag.cli.terminal import left_out_lines, printable
    from trickbag.metrics.metric import EVALUATED

    yield f"{printable(evaluation.data)}, {evaluation.part}: {evaluation.images:,} images"
    yield f"weights: {printable(evaluation.weights)}, in {evaluation.precision}"
    for name, metric in EVALUATED.items():
        if name in evaluation.metrics:
            unit = " %" if metric.unit == "%" else ""
            text = _text(evaluation.metrics[name], unit, metric.decimals)
            yield f"{metric.symbol or metric.title:<6} {text}"
    yield from _class_lines(evaluation)
    if evaluation.left_out:
        yield from left_out_lines(evaluation.left_out, _NAMED_FILES)


def _class_lines(evaluation: Evaluation) -> Iterator[str]:
    """Describe the classes, those of the lowest F1 first, up to a bound."""
    from trickbag.cli.terminal import aligned, printable
    from trickbag.metrics.multi_label import LabelScore

    ranked = sorted(
        evaluation.per_class.items(),
        key=lambda item: (item[1].f1 is None, item[1].f1 or 0.0, item[0]),
    )
    yield from aligned(
        [
            f"  {printable(label)}",
            f"{score.support} images",
            f"recall {_text(score.recall, ' %')}",
            f"precision {_text(score.precision, ' %')}",
            f"F1 {_text(score.f1, ' %')}",
            *([f"from {score.threshold:.4f}"] if isinstance(score, LabelScore) else []),
        ]
        for label, score in ranked[:_SHOWN_CLASSES]
    )
    if len(ranked) > _SHOWN_CLASSES:
        yield f"  and {len(ranked) - _SHOWN_CLASSES:,} more classes: --json has all"


def _text(value: float | None, unit: str, decimals: int = 2) -> str:
    return "undefined" if value is None else f"{value:.{decimals}f}{unit}"
