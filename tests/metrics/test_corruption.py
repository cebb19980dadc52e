from __future__ import annotations

import numpy as np
import pytest

from trickbag.metrics.corruption import (
    ALEXNET_CLEAN,
    ALEXNET_ERRORS,
    CORRUPTION_GROUPS,
    EXTRA_CORRUPTIONS,
    MAIN_CORRUPTIONS,
    corruption_error,
    mce,
    mean_corruption_error,
    normalised_error,
    relative_mce,
)

ALL = (*MAIN_CORRUPTIONS, *EXTRA_CORRUPTIONS)

# Errors of a made network on severities 1 to 5, in percent, and AlexNet's published mean errors.
TABLE = {
    "gaussian_noise": ((30, 40, 55, 70, 85), 88.6428),
    "shot_noise": ((31, 43, 57, 75, 86), 89.4468),
    "impulse_noise": ((38, 49, 58, 75, 88), 92.2640),
    "defocus_blur": ((40, 46, 60, 71, 80), 81.9880),
    "glass_blur": ((45, 58, 81, 85, 90), 82.6268),
    "motion_blur": ((34, 44, 60, 75, 82), 78.5948),
    "zoom_blur": ((46, 56, 62, 69, 76), 79.8360),
    "snow": ((45, 65, 62, 73, 80), 86.6816),
    "frost": ((37, 54, 66, 68, 74), 82.6572),
    "fog": ((38, 42, 49, 54, 69), 81.9324),
    "brightness": ((25, 27, 29, 33, 40), 56.4592),
    "contrast": ((35, 41, 53, 78, 94), 85.3204),
    "elastic_transform": ((32, 54, 44, 54, 79), 64.6056),
    "pixelate": ((34, 35, 46, 61, 69), 71.7840),
    "jpeg_compression": ((33, 38, 41, 51, 62), 60.6500),
}
CLEAN = 23.9


def errors(scale: float = 1.0) -> dict[str, list[float | None]]:
    return {name: [scale * float(error) for error in row] for name, (row, _) in TABLE.items()}


def test_mce_is_the_formula_of_the_paper_by_hand() -> None:
    ce, relative = [], []
    for row, alexnet in TABLE.values():
        # The published table has means over the severities: their sum is five times as much.
        total, divisor = np.float64(sum(row)), np.float64(5 * alexnet)
        ce.append(100 * total / divisor)
        relative.append(100 * (total - 5 * CLEAN) / (divisor - 5 * np.float64(43.48)))
    assert len(ce) == 15
    assert mce(errors()) == pytest.approx(float(np.mean(ce)), rel=1e-14)
    assert relative_mce(errors(), CLEAN) == pytest.approx(float(np.mean(relative)), rel=1e-14)
    mean = np.mean([np.mean(row) for row, _ in TABLE.values()])
    assert mean_corruption_error(errors()) == pytest.approx(float(mean), rel=1e-14)
    # One of the ratios, by pencil: 280 of 443.214.
    assert normalised_error("gaussian_noise", errors()["gaussian_noise"]) == pytest.approx(
        63.17490, abs=1e-5
    )


@pytest.mark.parametrize("names", [MAIN_CORRUPTIONS, ALL], ids=["15", "19"])
def test_alexnet_is_100_percent_of_itself(names: tuple[str, ...]) -> None:
    alexnet: dict[str, list[float | None]] = {name: [ALEXNET_ERRORS[name]] * 5 for name in names}
    assert mce(alexnet, names) == pytest.approx(100)
    assert relative_mce(alexnet, ALEXNET_CLEAN, names) == pytest.approx(100)


def test_the_table_has_each_corruption_once() -> None:
    grouped = [name for names in CORRUPTION_GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped)) == 19
    assert set(grouped) == set(ALEXNET_ERRORS) == set(ALL)
    assert len(MAIN_CORRUPTIONS) == 15
    # A relative error divides by the difference.
    assert all(error > ALEXNET_CLEAN for error in ALEXNET_ERRORS.values())


@pytest.mark.parametrize(
    ("name", "row"),
    [("fog", None), ("fog", []), ("fog", [1.0, 2.0, None, 4.0, 5.0]), ("fog", [1.0, 2.0])],
    ids=["no corruption", "no severity", "four severities", "two severities"],
)
def test_a_part_that_is_missing_leaves_mce_undefined(
    name: str, row: list[float | None] | None
) -> None:
    table = errors()
    del table[name]
    if row is not None:
        table[name] = row
        assert corruption_error(row) is None
        assert normalised_error(name, row) is None
    assert mce(table) is None
    assert relative_mce(table, CLEAN) is None
    # What is there counts, each corruption the same.
    means = [np.mean([e for e in values if e is not None]) for values in table.values() if values]
    assert mean_corruption_error(table) == pytest.approx(float(np.mean(means)))


def test_what_is_undefined() -> None:
    assert relative_mce(errors(), None) is None
    assert mce({}) is None
    assert mean_corruption_error({}) is None
    assert mce(errors(), ALL) is None
