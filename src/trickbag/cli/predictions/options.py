"""The options of `predict` for detectors and segmenters, and which of all go with a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from trickbag.evaluate.trained import Trained

__all__ = ["DEFAULT_LEAST", "add_task_options", "least_score", "new_folder", "require_options"]

DEFAULT_LEAST = 0.5
"""The lowest score of a box that is given, where `--least` says no other."""

_OF_ONE_TASK = ("csv", "probabilities", "reject_below", "raw_confidence", "json", "pictures")
_OPTIONS = (*_OF_ONE_TASK, "masks", "least")


def add_task_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("detection and segmentation")
    group.add_argument(
        "--json",
        metavar="FILE",
        help="write boxes, or the shares of classes, into a file instead of printing them",
    )
    group.add_argument(
        "--pictures",
        metavar="DIR",
        help="draw what is predicted over each image, into a new or empty folder",
    )
    group.add_argument(
        "--masks",
        metavar="DIR",
        help="write the mask of each image, a PNG with a palette, into a new or empty folder",
    )
    group.add_argument(
        "--least",
        metavar="SCORE",
        help=f"the lowest score of a box that is given (default: {DEFAULT_LEAST:g})",
    )


def require_options(args: argparse.Namespace, trained: Trained) -> None:
    """Raise UserError for an option that is not of the network's task."""
    from trickbag.evaluate.of_task import require_task

    for name in _OPTIONS:
        if getattr(args, name) not in (None, False):
            require_task(trained, f"--{name.replace('_', '-')}")
    if args.top != "1":
        require_task(trained, f"--top {args.top}")


def least_score(args: argparse.Namespace) -> float | None:
    """Return the value of `--least`, None where it was not given. Raises UserError."""
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.ranges import Between

    least: float | None = optional(Annotated[float, Between(0, 1)], args.least, "--least")
    return least


def new_folder(text: str | None, option: str) -> Path | None:
    """Return a folder that is new or empty, None where none is given; nothing is made yet.

    Raises UserError for one that holds something: files there could be replaced.
    """
    from trickbag.errors import UserError
    from trickbag.paths import exists, expanded, is_folder

    if text is None:
        return None
    folder = expanded(text)
    if exists(folder) and not is_folder(folder):
        raise UserError(f"{option} {text!r} is a file", "give a new folder")
    if is_folder(folder) and any(folder.iterdir()):
        raise UserError(f"{option} {text!r} is not empty", "give a new folder")
    if not is_folder(folder.parent):
        raise UserError(f"{option} {text!r}: there is no folder {folder.parent}")
    return folder
