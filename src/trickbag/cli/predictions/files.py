"""The pictures and masks that `predict` writes: a file for each image, in a folder."""

from __future__ import annotations

import io
import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.report.pictures import Image

__all__ = ["file_names", "picture_png", "write_file"]


def file_names(paths: Sequence[Path | None]) -> list[str]:
    """Return the names of the files of images, `.png`, with the folders in which the images lie.

    They are relative to the folder that all images share. Of images that differ in their ending
    alone the later ones keep theirs: `a.png`, then `a.jpg.png`. Empty where there is no image.
    """
    absolute = [None if path is None else Path(os.path.abspath(path)) for path in paths]
    folders = [str(path.parent) for path in absolute if path is not None]
    try:
        shared = os.path.commonpath(folders) if folders else ""
    except ValueError:  # on different drives of Windows
        shared = ""
    names: list[str] = []
    taken: set[str] = set()
    for path in absolute:
        if path is None:
            names.append("")
            continue
        inner = PurePath(os.path.relpath(path, shared)) if shared else PurePath(path.name)
        name, number = inner.with_suffix(".png").as_posix(), 1
        if name.casefold() in taken:
            name = f"{inner.as_posix()}.png"
        while name.casefold() in taken:
            number += 1
            name = f"{inner.as_posix()}-{number}.png"
        taken.add(name.casefold())
        names.append(name)
    return names


def picture_png(image: Image) -> bytes:
    """Encode a picture as a PNG."""
    from PIL import Image as Pillow

    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_file(path: Path, content: bytes) -> None:
    """Write a file, as a whole or not at all, and the folders that it lies in.

    Raises RunFailed if it cannot be written.
    """
    from trickbag.errors import RunFailed
    from trickbag.files import replacing

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error
    with replacing(path) as file:
        file.write(content)
