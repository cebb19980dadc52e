"""Copies of images with boxes or masks: those whose annotations differ are told from others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.builders.boxes import voc_folder
from tests.builders.masks import grey_png, mask_folder
from trickbag.data.annotations import AnnotationKind
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.doctor import diagnose

BOXES = [("cat", (2.0, 3.0, 20.0, 21.0)), ("dog", (5.0, 6.0, 30.0, 25.0))]
MOVED = [BOXES[0], ("dog", (5.0, 6.0, 30.0, 24.0))]
OBJECTS = {"base": BOXES, "same": BOXES[::-1], "other": MOVED, "none": [], "alone": BOXES}
"""The same boxes in another order; one that is a pixel smaller; none."""


def copied(root: Path, kind: AnnotationKind, train: list[str], val: list[str]) -> Path:
    """Write images that are all copies of one, but for `alone`, which is in both parts' lists."""
    parts = {"train": [*train, "alone"], "val": [*val, "alone2"]}
    names = [name for part in parts.values() for name in part]
    if kind == "boxes":
        objects = {name: OBJECTS.get(name, BOXES) for name in names}
        folder, images, suffix = voc_folder(root, parts, objects), "JPEGImages", ".png"
    else:
        folder, images, suffix = mask_folder(root, parts), "images", ".jpg"
        mask = np.arange(16 * 24, dtype=np.uint8).reshape(16, 24) % 3
        for name in names:
            changed = mask.copy()
            changed[0, 0] = {"other": 1, "none": 2}.get(name, changed[0, 0])
            (root / "masks" / f"{name}.png").write_bytes(grey_png(changed))
    for name in names:
        if name not in ("base", "alone", "alone2"):
            shutil.copy(folder / images / f"base{suffix}", folder / images / f"{name}{suffix}")
    return folder


CASES = {
    "same in two parts": (["base"], ["same"], ["parts"]),
    "same in a part": (["base", "same"], [], ["nothing"]),
    "other in a part": (["base", "other"], [], ["differing"]),
    "other in two parts": (["base"], ["other"], ["parts", "differing"]),
    "nothing in one": (["base", "none"], [], ["differing"]),
}


@pytest.mark.parametrize("kind", ["boxes", "masks"])
@pytest.mark.parametrize("name", CASES)
def test_copies(tmp_path: Path, kind: AnnotationKind, name: str) -> None:
    train, val, expected = CASES[name]
    source = DataConfig(source=str(copied(tmp_path, kind, train, val)), max_bad_fraction=1.0)
    across = [kind if each == "differing" else each for each in expected]
    diagnosis = diagnose(source, annotations=kind)
    assert [row["across"] for row in diagnosis.to_dict()["duplicates"]] == across
    (copies,) = diagnosis.copies
    assert len(copies.files) == 2
    dataset = prepare(source, annotations=kind)
    texts = [note.text for note in dataset.notes if note.text.startswith("copies: ")]
    where = {
        "parts": "in more than one part",
        "nothing": "more than once in a part",
        kind: f"with different {kind}",
    }
    assert len(texts) == len(across)
    for each, text in zip(across, texts, strict=True):
        assert f"1 image lies {where[each]} (" in text
        assert ("not all of the labels" in text) is False
    assert dataset.errors == ()


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_copies_with_different_annotations_are_dropped(
    tmp_path: Path, kind: AnnotationKind
) -> None:
    folder = copied(tmp_path, kind, ["base", "other"], ["same"])
    dataset = prepare(
        DataConfig(source=str(folder), duplicates="drop", max_bad_fraction=1.0), annotations=kind
    )
    assert len(dataset.errors) == 3
    assert all(f"the {kind} of the copies differ" in error.reason for error in dataset.errors)
    assert (len(dataset.train), len(dataset.val)) == (1, 1)
