"""The gains of test-time augmentation, against evaluations one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders.trained import halves_network, preprocessing_of_size
from trickbag.errors import UserError
from trickbag.evaluate import evaluate
from trickbag.evaluate.average import averaged
from trickbag.evaluate.gain import tta_gains, tta_record
from trickbag.evaluate.views import TTA
from trickbag.metrics.paired import paired_difference


def test_gains_are_those_of_evaluations_one_by_one(photos: Path) -> None:
    small = halves_network(seed=8, preprocessing=preprocessing_of_size(12))
    members = [halves_network(seed=7), small]
    options: dict[str, Any] = {"data": str(photos), "workers": 0}
    before = evaluate(averaged(members), **options)
    gains = tta_gains(averaged(members), before, **options)
    assert [gain.name for gain in gains] == list(TTA)
    for gain in gains:
        after = evaluate(averaged(members, gain.name), **options)
        assert before.validation is not None
        assert after.validation is not None
        assert gain.top1 == pytest.approx(after.metrics["top1"])
        expected = paired_difference(
            after.validation.predicted == after.validation.labels,
            before.validation.predicted == before.validation.labels,
        )
        assert (gain.gain, gain.low, gain.high) == pytest.approx([100 * v for v in expected])
        assert (
            gain.views
            == len(members)
            * {
                "flip": 2,
                "five-crop": 5,
                "ten-crop": 10,
                "multi-scale": 3,
                "flip+multi-scale": 6,
                "dihedral": 8,
            }[gain.name]
        )
    record = tta_record(before, gains)
    assert record.metrics["top1"] == before.metrics["top1"]
    assert record.images == 45


def test_more_than_one_label_an_image_has_no_top1(photos: Path) -> None:
    network = halves_network()
    evaluation = evaluate(network, data=str(photos), workers=0)
    with pytest.raises(UserError, match="gives several labels an image"):
        tta_gains(halves_network(thresholds=(0.5, 0.5, 0.5)), evaluation)
