from __future__ import annotations

import numpy as np
import pytest

from trickbag.metrics.flips import (
    ALEXNET_FLIPS,
    EXTRA_PERTURBATIONS,
    NOISE_PERTURBATIONS,
    TEST_PERTURBATIONS,
    flip_rate,
    flips,
    mean_flip_probability,
    mfr,
    top5_distances,
)

# Three sequences of five frames.
PREDICTED = np.array([[4, 4, 4, 4, 4], [1, 2, 2, 1, 1], [0, 3, 0, 3, -1]])


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (False, [[0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]]),
        (True, [[0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 1]]),
    ],
)
def test_flips_are_counted_from_the_frame_before_and_of_noise_from_the_first(
    noise: bool, expected: list[list[int]]
) -> None:
    assert flips(PREDICTED, noise=noise).astype(int).tolist() == expected


def test_frames_without_finite_logits_never_agree() -> None:
    assert flips(np.full((1, 3), -1), noise=False).tolist() == [[True, True]]
    assert flips(np.full((1, 3), -1), noise=True).tolist() == [[True, True]]
    assert flips(np.array([[-1, 2, 2]]), noise=False).tolist() == [[True, False]]


def by_definition(first: list[int], second: list[int]) -> int:
    """Sum 1(1 <= j - 1 <= 5) over i of 1 to 5 and j of min(i, s) + 1 to max(i, s) (section 4.2)."""
    total = 0
    for i, name in enumerate(first[:5], 1):
        rank = second.index(name) + 1
        total += sum(1 <= j - 1 <= 5 for j in range(min(i, rank) + 1, max(i, rank) + 1))
    return total


def test_top5_distances_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    rankings = np.stack([[rng.permutation(9) for _ in range(4)] for _ in range(20)])
    top5 = rankings[:, :, :5]
    for noise in (False, True):
        distances = top5_distances(top5, noise=noise)
        for image, frames in enumerate(rankings.tolist()):
            before = [frames[0]] * 3 if noise else frames[:-1]
            expected = [by_definition(a, b) for a, b in zip(before, frames[1:], strict=True)]
            assert distances[image].tolist() == expected


def test_top5_distance_is_0_for_the_same_ranking_and_15_without_a_common_class() -> None:
    frames = np.array([[[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [-1] * 5, [-1] * 5]])
    assert top5_distances(frames, noise=False).tolist() == [[0, 15, 15, 15]]


def test_mfr_is_the_mean_share_of_alexnet_over_ten_perturbations() -> None:
    alexnet = dict(ALEXNET_FLIPS)
    assert mfr(alexnet) == pytest.approx(100)
    assert mean_flip_probability(alexnet) == pytest.approx(14.0463)
    halved = {name: value / 2 if name == "snow" else value for name, value in alexnet.items()}
    assert mfr(halved) == pytest.approx(95)
    assert flip_rate("scale", 11.7655) == pytest.approx(50)


def test_extra_perturbations_do_not_count_and_a_missing_one_leaves_mfr_undefined() -> None:
    alexnet = dict(ALEXNET_FLIPS)
    changed = alexnet | dict.fromkeys(EXTRA_PERTURBATIONS, 100.0)
    assert mfr(changed) == pytest.approx(100)
    assert mean_flip_probability(changed) == mean_flip_probability(alexnet)
    assert mfr({name: value for name, value in alexnet.items() if name != "tilt"}) is None
    assert mean_flip_probability({"tilt": 4.0, "snow": 2.0, "shear": 9.0}) == 3.0
    assert mean_flip_probability({"shear": 9.0}) is None


def test_names_are_those_of_the_table() -> None:
    assert {*TEST_PERTURBATIONS, *EXTRA_PERTURBATIONS} == set(ALEXNET_FLIPS)
    assert {name for name in ALEXNET_FLIPS if "noise" in name} == NOISE_PERTURBATIONS
