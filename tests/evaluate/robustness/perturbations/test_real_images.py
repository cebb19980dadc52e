"""A network with published weights on photos of ImageNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.evaluate.test_network import LITE0, unpacked
from trickbag.evaluate import evaluate_perturbations, evaluate_shifts
from trickbag.evaluate.network import load_network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not LITE0.is_file(), reason="needs the networks of the shared data sets")
def test_efficientnet_lite_is_mostly_stable(tmp_path: Path) -> None:
    source = str(unpacked("imagenet-sample-150", tmp_path))
    trained = load_network("timm:tf_efficientnet_lite0", LITE0, "cpu")
    shifts = evaluate_shifts(trained, data=source, limit=10, pairs=3, workers=0)
    assert shifts.settings["mode"] == "crop"
    assert shifts.settings["places"] == [32, 32]
    # ResNet-50 has 89 % on ImageNet's validation images; these are of the training set.
    assert 75 <= (shifts.metrics["shift_consistency"] or 0) <= 100
    record = evaluate_perturbations(
        trained, data=source, limit=4, names=["brightness", "translate"], workers=0
    )
    assert record.settings["table"] == "imagenet_p"
    for name, probability in record.details["flip_probabilities"].items():
        assert 0 <= probability < 20
        assert record.details["flip_rates"][name] is not None
    assert record.metrics["mfr"] is None  # eight of ten are missing
    assert 0 < (record.metrics["mean_top5_distance"] or 0) < 5
