"""What a weights file that a run wrote says of its network: the classes, and how images are
prepared for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import UserError
from trickbag.settings import read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["classes_of", "damaged", "preprocessing_of"]


def damaged(path: Path, what: str) -> UserError:
    """Return the error of a weights file that does not say `what`."""
    return UserError(
        f"{path}: its weights file does not say {what}; give weights that `trickbag train` wrote"
    )


def classes_of(path: Path, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes, in the order of the logits; UserError where they are not
    known."""
    classes, model = metadata.get("classes"), metadata.get("model")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise damaged(path, "the names of the classes")
    number = model.get("num_classes") if isinstance(model, dict) else None
    if len(classes) != number or len(set(classes)) < len(classes):
        raise damaged(path, "as many class names as its network has classes")
    return tuple(classes)


def preprocessing_of(path: Path, metadata: Mapping[str, Any]) -> Preprocessing:
    """Return how images are prepared for the network; UserError where that is not known."""
    try:
        return read(Preprocessing, metadata.get("preprocessing"), "preprocessing")
    except UserError as error:
        raise damaged(path, f"how images are prepared ({error})") from error
