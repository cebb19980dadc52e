"""Folders of images with boxes, as Pascal VOC and as COCO have them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.builders.annotations import voc_object, voc_xml
from tests.builders.images import encode, photo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Objects = "Sequence[tuple[str, tuple[float, float, float, float]]]"


def voc_folder(
    root: Path,
    parts: Mapping[str, Sequence[str]],
    objects: Mapping[str, Objects],
    size: tuple[int, int] = (30, 40),
) -> Path:
    """Write `JPEGImages`, `Annotations` and the lists of parts; edges are as in the file."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for seed, (name, boxes) in enumerate(objects.items()):
        image = photo(size[1], size[0], seed)
        (root / "JPEGImages" / f"{name}.png").write_bytes(encode(image, "PNG"))
        text = voc_xml([voc_object(*each) for each in boxes], size=size)
        (root / "Annotations" / f"{name}.xml").write_text(text)
    for part, names in parts.items():
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names))
    return root


def coco_content(
    images: Mapping[str, Objects],
    classes: Sequence[str] = ("cat", "dog"),
    size: tuple[int, int] = (30, 40),
) -> dict[str, Any]:
    """Return the content of a file in COCO's form; boxes are continuous edges."""
    annotations = [
        {
            "id": 0,
            "image_id": number,
            "category_id": classes.index(name) + 1,
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": 0,
            "segmentation": [[left, top, right, bottom]],
        }
        for number, boxes in enumerate(images.values())
        for name, (left, top, right, bottom) in boxes
    ]
    for number, annotation in enumerate(annotations):
        annotation["id"] = number
    return {
        "images": [
            {"id": number, "file_name": f"{name}.png", "height": size[0], "width": size[1]}
            for number, name in enumerate(images)
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, 1)],
    }


def coco_part(
    root: Path,
    part: str,
    images: Mapping[str, Objects],
    content: Mapping[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Write the images of a part into a folder, and `annotations/instances_PART.json`."""
    (root / part).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    height, width = options.get("size", (30, 40))
    for seed, name in enumerate(images):
        image = photo(width, height, seed + 100 * len(part))
        (root / part / f"{name}.png").write_bytes(encode(image, "PNG"))
    text = json.dumps(coco_content(images, **options) if content is None else content)
    (root / "annotations" / f"instances_{part}.json").write_text(text)
    return root


def reasons(errors: Sequence[tuple[str, str]]) -> list[str]:
    """Write errors as `file: reason`, in order."""
    return sorted(f"{file}: {reason}" for file, reason in errors)


def texts(notes: Sequence[Any]) -> str:
    """Return the texts of notes, each on a line."""
    return "\n".join(note.text for note in notes)


def edges(rows: Any) -> list[list[float]]:
    """Return the edges of objects (M, 6) as lists."""
    return np.asarray(rows)[:, 1:5].tolist()
