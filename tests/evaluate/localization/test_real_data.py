"""Boxes of blood cells as they are published, and photos pasted where the place is known."""

from __future__ import annotations

import importlib.util
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from trickbag.evaluate.localization import evaluate_localization
from trickbag.evaluate.localization.activation_maps import METHODS, Method
from trickbag.evaluate.localization.annotations import read_annotations
from trickbag.evaluate.network import load_network

DATA = Path(__file__).parents[4] / "shared" / "data"
PASTED = Path(__file__).parents[3] / "benchmarks" / "pasted.py"
WEIGHTS = DATA / "tf_efficientnet_lite0.safetensors"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.data,
    pytest.mark.skipif(not WEIGHTS.is_file(), reason="the shared data sets are not here"),
]


def test_the_boxes_of_blood_cells(tmp_path: Path) -> None:
    with zipfile.ZipFile(DATA / "bccd.zip") as archive:
        archive.extractall(tmp_path)
    (root,) = (path.parent for path in tmp_path.rglob("Annotations"))
    names: Counter[str] = Counter()
    box_errors = []
    for part, count in (("train", 205), ("val", 87), ("test", 72)):
        result = read_annotations(root, part)
        assert (len(result.images), result.errors) == (count, ())
        box_errors += result.box_errors
        names.update(name for image in result.images for name in image.names)
    assert [file for file, _ in sorted(box_errors)] == [
        "Annotations/BloodImage_00338.xml",
        "Annotations/BloodImage_00343.xml",
    ]
    assert all("has no area" in reason for _, reason in box_errors)
    assert names["WBC"] == 372
    assert sum(names.values()) == 4155 + 372 + 361 - len(box_errors)


@pytest.mark.parametrize("method", METHODS)
def test_pasted_photos_are_where_the_network_sees_them(tmp_path: Path, method: Method) -> None:
    with zipfile.ZipFile(DATA / "imagenette-mini.zip") as archive:
        names = [name for name in archive.namelist() if "/val/" in name and name.endswith("EG")]
        archive.extractall(tmp_path, names[::8])
    (photos,) = tmp_path.rglob("val")
    spec = importlib.util.spec_from_file_location("benchmarks_pasted", PASTED)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.paste_photos(photos, tmp_path / "pasted", each=2) == 20
    trained = load_network("timm:tf_efficientnet_lite0", WEIGHTS, "cpu")
    record = evaluate_localization(trained, tmp_path / "pasted", method=method)
    assert record.images == 20
    assert record.metrics["max_box_acc"] >= 60
    assert record.metrics["gt_known_localization"] >= 50
    assert record.metrics["top1_localization"] <= record.details["top1"]
