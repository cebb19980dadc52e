"""Annotations of Pascal VOC, and folders of images with them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.builders.images import encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np

NamedBox = tuple[str, tuple[float, float, float, float]]


def voc_object(name: str, box: Iterable[object]) -> str:
    """Write an object; the values of its box may be anything."""
    edges = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inside = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges)
    return f"<object><name>{escape(name)}</name><bndbox>{inside}</bndbox></object>"


def voc_xml(
    objects: Iterable[str], *, size: tuple[int, int] | None = None, filename: str = ""
) -> str:
    """Write an annotation of objects; `size` is height and width."""
    sides = "" if size is None else f"<height>{size[0]}</height><width>{size[1]}</width>"
    return (
        f"<annotation><filename>{escape(filename)}</filename><size>{sides}</size>"
        f"{''.join(objects)}</annotation>"
    )


def annotated_folder(
    root: Path, images: dict[str, tuple[np.ndarray, list[NamedBox]]], *, voc: bool = False
) -> Path:
    """Write images with annotations beside them, or in the folders of Pascal VOC."""
    pictures, annotations = (root / "JPEGImages", root / "Annotations") if voc else (root, root)
    for folder in (pictures, annotations):
        folder.mkdir(parents=True, exist_ok=True)
    for name, (image, boxes) in images.items():
        (pictures / f"{name}.png").write_bytes(encode(image, "PNG"))
        objects = [voc_object(*each) for each in boxes]
        text = voc_xml(objects, size=image.shape[:2], filename=f"{name}.png")
        (annotations / f"{name}.xml").write_text(text)
    return root
