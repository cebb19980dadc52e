"""COCO's average precision, by torchmetrics, against the table computed by hand."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from tests.metrics.test_detection import A, hand_table, image, random_images
from trickbag.metrics import coco
from trickbag.metrics.coco import coco_metrics, has_coco
from trickbag.metrics.detection import rank_detections, voc_metrics


def test_what_needs_no_package() -> None:
    assert coco_metrics([image(0, [], [[0, *A, 0.9]])]) == {"map": None, "map75": None}
    assert coco_metrics([]) == {"map": None, "map75": None}


def test_without_the_packages_it_is_undefined(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pycocotools" else find_spec(name)
    )
    assert not has_coco()
    assert coco_metrics(hand_table()) == {"map": None, "map75": None}
    assert "pip install 'trickbag[detection]'" in coco.MISSING


@pytest.mark.slow
def test_the_table_computed_by_hand() -> None:
    pytest.importorskip("pycocotools")
    # 101 recalls from 0 to 1: 26 at the precision 1, 25 at 2/3, 25 at 3/5. What is right is so at
    # every IoU.
    expected = 100 * (26 + 25 * 2 / 3 + 25 * 3 / 5) / 101
    assert coco_metrics(hand_table()) == pytest.approx({"map": expected, "map75": expected})
    # An image more, with an overlap of 0.8: right at 0.5 to 0.75, and at 0.8 by rounding or not.
    images = [image(0, [[0, *A, 0]], [[0, 0, 0, 10, 8.2, 0.9]])]
    assert coco_metrics(images) == pytest.approx({"map": 70, "map75": 100})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_it_is_below_that_of_voc(seed: int) -> None:
    pytest.importorskip("pycocotools")
    images = random_images(seed, images=30)
    metrics = coco_metrics(images[::-1])
    voc = voc_metrics(rank_detections(images, 2))["map50"]
    assert metrics["map"] is not None
    assert metrics["map75"] is not None
    assert voc is not None
    assert 0 < metrics["map75"] < metrics["map"] + 30 < voc + 30
    assert np.isclose(metrics["map"], coco_metrics(images)["map"])
