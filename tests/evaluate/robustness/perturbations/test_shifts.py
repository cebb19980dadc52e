from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import RunFailed, UserError
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.robustness.crops import Crops
from trickbag.evaluate.robustness.perturbations.details import ShiftDetails
from trickbag.evaluate.robustness.perturbations.shifts import Shifts, evaluate_shifts

if TYPE_CHECKING:
    from trickbag.evaluate import Trained

KEEPS = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
CROP = Preprocessing(image_size=(8, 6), resize=(12, 11), **KEEPS)
CIRCULAR = Preprocessing(image_size=8, resize=8, **KEEPS)


class FirstPixel(nn.Module):
    """Classes of three by the level of the first pixel: 0 to 84, 85 to 169, 170 to 255."""

    def forward(self, images_NCHW: Tensor) -> Tensor:
        classes = (images_NCHW[:, 0, 0, 0] // 85).clamp(max=2).long()
        return nn.functional.one_hot(classes, 3).float()


class Brightest(nn.Module):
    """Classes of three by the brightest level, which a shift in a circle leaves as it is."""

    def forward(self, images_NCHW: Tensor) -> Tensor:
        classes = (images_NCHW[:, 0].amax((1, 2)) // 85).clamp(max=2).long()
        return nn.functional.one_hot(classes, 3).float()


class NotFinite(FirstPixel):
    """As `FirstPixel`, with NaN for the images whose first pixel is black."""

    def forward(self, images_NCHW: Tensor) -> Tensor:
        black = images_NCHW[:, 0, 0, 0] == 0
        return super().forward(images_NCHW).masked_fill(black[:, None], torch.nan)


def with_network(
    trained: Trained, network: nn.Module, preprocessing: Preprocessing = CIRCULAR
) -> Trained:
    return dataclasses.replace(trained, network=network.eval(), preprocessing=preprocessing)


def by_hand(trained: Trained, shifts: Shifts, path: str, pairs: int, seed: int) -> float:
    """Compute the consistency of `FirstPixel`, one image and one view after the other."""
    wide = dataclasses.replace(trained.preprocessing, image_size=trained.preprocessing.resize)
    agreeing = []
    with Crops(trained, workers=0, preprocessing=wide) as crops:
        for batch in crops.batches():
            for image, row in zip(batch.images.numpy(), batch.index.tolist(), strict=True):
                for pair in range(pairs):
                    levels = [
                        image[0, y % image.shape[1], x % image.shape[2]]
                        for y, x in shifts.draw(path, seed, pair, row)
                    ]
                    agreeing.append(min(levels[0] // 85, 2) == min(levels[1] // 85, 2))
    return 100 * float(np.mean(agreeing))


@pytest.mark.parametrize(("preprocessing", "mode"), [(CROP, "crop"), (CIRCULAR, "circular")])
def test_consistency_of_a_contrived_network_is_that_computed_by_hand(
    trained: Trained, preprocessing: Preprocessing, mode: str
) -> None:
    contrived = with_network(trained, FirstPixel(), preprocessing)
    record = evaluate_shifts(contrived, seed=3, pairs=4, workers=0, batch_size=4)
    crop, circle = Shifts("crop", (8, 6), (4, 5)), Shifts("circular", (8, 8), (8, 8))
    shifts = crop if mode == "crop" else circle
    expected = {
        "shift_consistency": by_hand(contrived, shifts, "random", 4, 3),
        "diagonal_shift_consistency": by_hand(contrived, shifts, "diagonal", 4, 3),
    }
    assert dict(record.metrics) == pytest.approx(expected)
    for name, value in expected.items():
        assert 0 < record.intervals[name][0] < value < record.intervals[name][1] <= 100
    assert EvaluationRecord.from_dict(record.to_dict()) == record
    assert (record.kind, record.images, record.part) == ("shifts", 9, "val")
    assert record.settings["mode"] == mode
    assert record.settings["places"] == list(shifts.places)
    details = ShiftDetails.from_dict(record.details)
    assert sum(details.pairs["random"]) == sum(details.pairs["diagonal"]) == 36
    assert details.pairs["random"][0] == details.agreeing["random"][0]  # equal views
    assert any("circle" in note.reason for note in record.notes) == (mode == "circular")


def test_a_network_that_no_shift_changes_is_consistent(trained: Trained) -> None:
    record = evaluate_shifts(with_network(trained, Brightest()), workers=0)
    assert dict(record.metrics) == {
        "shift_consistency": 100.0,
        "diagonal_shift_consistency": 100.0,
    }
    assert record.intervals == {}  # images that all agree do not say how rare others are


def test_draws_depend_on_seed_pair_and_image_alone(trained: Trained) -> None:
    contrived = with_network(trained, FirstPixel(), CROP)
    first = evaluate_shifts(contrived, seed=1, workers=0)
    again = evaluate_shifts(contrived, seed=1, workers=0, batch_size=2)
    other = evaluate_shifts(contrived, seed=2, workers=0)
    assert first == again
    assert first.metrics != other.metrics


def test_places_cover_the_margin_and_the_diagonal_has_equal_coordinates() -> None:
    shifts = Shifts.of((224, 224), (256, 256))
    assert shifts == Shifts("crop", (224, 224), (32, 32))
    random = np.array([shifts.draw("random", 0, 0, row) for row in range(500)])
    assert (random.min(), random.max()) == (0, 31)
    diagonal = np.array([shifts.draw("diagonal", 0, 0, row) for row in range(50)])
    assert (diagonal[..., 0] == diagonal[..., 1]).all()
    narrow = Shifts.of((224, 64), (256, 68))
    assert max(max(place) for place in narrow.draw("diagonal", 0, 0, 1)) < 4


@pytest.mark.parametrize(
    ("size", "scaled", "mode"),
    [
        ((224, 224), (256, 256), "crop"),
        ((28, 28), (32, 32), "crop"),
        ((32, 32), (32, 32), "circular"),
        ((32, 32), (40, 33), "circular"),
        ((64, 64), (48, 48), "circular"),
    ],
)
def test_images_are_shifted_in_a_circle_where_the_crop_leaves_nothing_out(
    size: tuple[int, int], scaled: tuple[int, int], mode: str
) -> None:
    assert Shifts.of(size, scaled).mode == mode


def test_distances_are_the_larger_of_rows_and_columns_and_in_a_circle_the_shorter_way() -> None:
    crop = Shifts("crop", (8, 8), (5, 5))
    assert crop.distance((0, 4), (3, 4)) == 3
    assert crop.distance((4, 0), (3, 4)) == 4
    circular = Shifts("circular", (8, 8), (8, 8))
    assert circular.distance((0, 7), (3, 0)) == 3
    assert circular.distance((0, 0), (4, 7)) == 4


def test_views_without_finite_logits_do_not_agree(trained: Trained) -> None:
    contrived = with_network(trained, NotFinite())
    record = evaluate_shifts(contrived, workers=0)
    finite = evaluate_shifts(with_network(trained, FirstPixel()), workers=0)
    consistency = [each.metrics["shift_consistency"] for each in (record, finite)]
    assert consistency[0] < consistency[1]
    assert any("not finite" in note.reason for note in record.notes)

    class Never(nn.Module):
        def forward(self, images_NCHW: Tensor) -> Tensor:
            return torch.full((len(images_NCHW), 3), torch.nan)

    with pytest.raises(RunFailed, match="finite logits for no shifted image"):
        evaluate_shifts(with_network(trained, Never()), workers=0)


def test_wrong_settings_are_named(trained: Trained) -> None:
    for pairs in (0, -1, True, 1.5):
        with pytest.raises(UserError, match=f"pairs = {pairs}"):
            evaluate_shifts(trained, pairs=pairs)
    with_thresholds = dataclasses.replace(trained, thresholds=(0.5, 0.5, 0.5))
    with pytest.raises(UserError, match="several labels"):
        evaluate_shifts(with_thresholds)
