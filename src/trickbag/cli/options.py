"""Options that commands share: optional values, and the file that a command writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "RUN_HELP",
    "add_fold",
    "add_init",
    "add_precision",
    "add_tta",
    "optional",
    "output_file",
    "precision_of",
]

RUN_HELP = "a run's folder, RUN:last for its last epoch's weights, or a weights file of a run"


def add_init(parser: argparse.ArgumentParser) -> None:
    """Add the option for the weights of a network that is given by its name."""
    parser.add_argument(
        "--init",
        metavar="FILE",
        action="append",
        help="the weights of a network that is given as timm:NAME; again for each further network",
    )


def add_tta(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add the option for test-time augmentation."""
    from trickbag.evaluate.views import TTA

    parser.add_argument(
        "--tta",
        metavar="NAME",
        help=f"test-time augmentation, the mean over views of an image: {', '.join(TTA)}{more}",
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add the option for the type of numbers in which a trained network computes."""
    parser.add_argument(
        "--precision",
        metavar="float32|bf16|fp16",
        help="default: as the run reports (training.eval_precision), which is float32",
    )


def add_fold(parser: argparse.ArgumentParser) -> None:
    """Add the option for folded batch normalisation."""
    parser.add_argument(
        "--fold-batch-norms",
        action="store_true",
        help="compute batch normalisations as part of the convolutions before them: faster, the "
        "same but for rounding",
    )


def precision_of(args: argparse.Namespace) -> Any:
    """Return the precision that was asked for; None for the run's. Raises UserError."""
    from trickbag.models.config import Precision

    return optional(Precision, args.precision, "--precision")


def optional(kind: Any, text: str | None, option: str) -> Any:
    """Parse the value of an option as a type of `trickbag.settings`; None if it was not given.

    Raises UserError for another value.
    """
    from trickbag.parsing import parse

    return None if text is None else parse(kind, text, option)


def output_file(text: str, option: str, source: Path, protected: Sequence[Path] = ()) -> Path:
    """Return the file that a command is to write, checked before anything is computed.

    Raises UserError if it is a folder, its folder does not exist, or it is one of the `protected`
    files or a file of the run that `source` is, or lies in.
    """
    from trickbag.errors import UserError
    from trickbag.models.weights_names import folder_of_run
    from trickbag.paths import exists, expanded, is_folder
    from trickbag.train.folder.run_folder import RunFolder

    path = expanded(text)
    if is_folder(path):
        raise UserError(f"{option} {text!r} is a folder; give the name of a file")
    if not is_folder(path.parent):
        raise UserError(f"{option} {text!r}: there is no folder {path.parent}")
    run = RunFolder(folder_of_run(source))
    files = (
        run.recipe,
        run.metrics,
        run.checkpoint,
        run.best,
        run.last,
        run.result,
        run.predictions,
    )
    # Resolved, so that no link and no other spelling leads to a file of the run.
    if exists(path) and any(path.resolve() == file.resolve() for file in (*files, *protected)):
        raise UserError(f"{option} {text!r} is a file of the run itself; choose another name")
    return path
