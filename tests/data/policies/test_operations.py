"""Operations and magnitudes, against torchvision and the outputs of the Assemble-ResNet code."""

from __future__ import annotations

import re
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import (
    AugMix,
    AutoAugment,
    InterpolationMode,
    RandAugment,
    TrivialAugmentWide,
)
from torchvision.transforms.autoaugment import _apply_op

from tests.builders.images import photo
from tests.models.official.originals import vector
from trickbag.data.policies.magnitudes import (
    LEVELS,
    RANGES,
    Interpolation,
    Operation,
    Ranges,
    argument,
)
from trickbag.data.policies.operations import operate

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
SIZE = (47, 36)
IMAGE = Image.fromarray(photo(*SIZE, seed=3))
REFERENCE: list[tuple[str, Ranges, int, Any]] = [
    ("AutoAugment", "standard", 10, AutoAugment()._augmentation_space(10, SIZE[::-1])),
    ("RandAugment", "standard", 31, RandAugment()._augmentation_space(31, SIZE[::-1])),
    ("TrivialAugmentWide", "wide", 31, TrivialAugmentWide()._augmentation_space(31)),
    ("RandAugment in 7 bins", "standard", 7, RandAugment()._augmentation_space(7, SIZE[::-1])),
]


def ours(name: str) -> Operation:
    """Return our name of one of torchvision's or Assemble-ResNet's operations."""
    return next(operation for operation in OPERATIONS if operation.replace("_", "") == name.lower())


def difference(image: Image.Image, other: Image.Image) -> int:
    assert image.size == other.size
    assert image.mode == other.mode == "RGB"
    return int(np.abs(np.asarray(image).astype(int) - np.asarray(other)).max())


def cases(bins: int, space: Any) -> list[tuple[str, int, bool, float]]:
    """List torchvision's operations by (name, magnitude, negative, value)."""
    return [
        (
            name,
            magnitude,
            negative,
            float(magnitudes[magnitude] if magnitudes.ndim else 0) * (-1 if negative else 1),
        )
        for name, (magnitudes, signed) in space.items()
        for magnitude in range(bins if magnitudes.ndim else 1)
        for negative in ((False, True) if signed else (False,))
    ]


def as_argument(operation: Operation, value: float) -> float:
    """Convert torchvision's value of an operation to our argument."""
    if operation in ("brightness", "color", "contrast", "sharpness"):
        return 1 + value
    return int(value) if operation.startswith("translate") else value


@pytest.mark.parametrize(("bins", "space"), [case[2:] for case in REFERENCE])
@pytest.mark.parametrize("interpolation", get_args(Interpolation))
def test_every_operation_is_torchvisions_on_pillow(
    bins: int, space: Any, interpolation: Interpolation
) -> None:
    for name, magnitude, negative, value in cases(bins, space):
        expected = _apply_op(IMAGE, name, value, InterpolationMode(interpolation), [17.0] * 3)
        got = operate(IMAGE, ours(name), as_argument(ours(name), value), 17, interpolation)
        assert difference(got, expected) == 0, (name, magnitude, negative)


@pytest.mark.parametrize(("ranges", "bins", "space"), [case[1:] for case in REFERENCE])
def test_magnitudes_are_torchvisions(ranges: Ranges, bins: int, space: Any) -> None:
    unequal = []
    for name, magnitude, negative, value in cases(bins, space):
        operation = ours(name)
        own_value = argument(operation, ranges, magnitude / (bins - 1), negative, SIZE)
        if own_value != pytest.approx(as_argument(operation, value), rel=1e-6, abs=1e-6):
            unequal.append((name, magnitude, abs(own_value), abs(value)))
    # In float32, as torchvision computes, 15/30 of 32 pixels is 15.999999, which is cut to 15.
    expected = [
        (name, 15, 16, 15.999999046325684)
        for name in ("TranslateX", "TranslateY")
        for _ in range(2)
    ]
    assert unequal == (expected if ranges == "wide" else [])


def test_sides_are_those_of_the_image() -> None:
    for operation, side in (("translate_x", 47), ("translate_y", 36)):
        assert argument(operation, "standard", 1.0, False, SIZE) == int(side * 150 / 331)
        assert argument(operation, "standard", 22 / 30, False, (331, 331)) == 110  # 150 * 22 / 30
        assert argument(operation, "augmix", 1.0, True, SIZE) == -int(side / 3)
        assert argument(operation, "wide", 1.0, False, SIZE) == 32  # type: ignore[arg-type]


def test_the_ends_of_augmix_ranges_are_torchvisions() -> None:
    # Ours draws between the bins, as the paper's code does, and cuts off where torchvision rounds:
    # the ends are equal.
    space = AugMix()._augmentation_space(10, SIZE[::-1])
    for name, (magnitudes, signed) in space.items():
        if not magnitudes.ndim or name in (
            "Brightness",
            "Color",
            "Contrast",
            "Sharpness",
            "Solarize",
        ):
            continue
        assert argument(ours(name), "augmix", 1.0, False, SIZE) == pytest.approx(
            int(magnitudes[-1]), abs=0.31
        )
        assert RANGES["augmix"][ours(name)].signed == signed


ARGUMENTS = [
    ("rotate", 0.4, 4 * 3.0),
    ("shear_x", 0.3, 0.09),
    ("translate_y", 0.2, 50.0),
    ("color", 0.0, 0.1),
    ("contrast", 0.8, 1.54),
    ("solarize", 0.5, 128),
    ("solarize", 0.8, 204),
    ("solarize_add", 0.9, 99),
    ("posterize", 0.5, 2),
    ("posterize", 0.7, 2),
    ("posterize", 0.8, 3),
]


@pytest.mark.parametrize(("operation", "share", "expected"), ARGUMENTS)
def test_magnitudes_of_assemble(operation: Operation, share: float, expected: float) -> None:
    assert argument(operation, "assemble", share, False, (224, 224)) == pytest.approx(
        expected, abs=1e-12
    )
    sign = -1 if operation in ("rotate", "shear_x", "translate_y") else 1
    assert argument(operation, "assemble", share, True, (224, 224)) == pytest.approx(
        sign * expected, abs=1e-12
    )


@pytest.mark.parametrize(
    ("operation", "share", "expected"),
    [
        ("posterize", 0.3, 3),
        ("posterize", 0.2, 4),
        ("solarize", 0.3, 180),
        ("rotate", 0.99, 29),
        ("color", 0.5, 1.0),
    ],
)
def test_magnitudes_of_augmix(operation: Operation, share: float, expected: float) -> None:
    assert argument(operation, "augmix", share, False, (32, 32)) == pytest.approx(
        expected, abs=1e-12
    )


# Solarize at the highest magnitude overflows in the code, posterize to no bit shifts by the whole
# width of a pixel.
UNDEFINED = {"Solarize_10", "Posterize_0", "Posterize_2"}


def test_operations_of_the_assemble_code() -> None:
    facts, arrays = vector("units")
    image = Image.fromarray(arrays["aug_img"])
    seen = set()
    for case, values in facts["aug_args"].items():
        name, magnitude = case.split("_")
        operation = ours(name)
        value = argument(operation, "assemble", int(magnitude) / 10, False, image.size)
        if values:
            assert value == pytest.approx(values[0], abs=1e-9), case
        expected = arrays[f"aug_{case}"].astype(int)
        changed = np.abs(
            np.asarray(operate(image, operation, value, 128)).astype(int) - expected
        ).max(axis=2)
        if case in UNDEFINED:
            continue
        if name in ("Color", "Sharpness"):
            # It rounds where Pillow cuts off.
            assert changed.max() <= 1, case
        elif name in ("ShearX", "ShearY"):
            # It maps the corners of pixels, Pillow their centres.
            assert (changed > 0).mean() <= 0.15, case
        elif name == "Contrast" and magnitude != "5":
            # Its known bug: it blends with the number of pixels / 256.
            assert changed.max() > 50, case
            grey = np.full(3, min(255, image.width * image.height / 256))
            bug = (np.asarray(image) * value + grey * (1 - value)).clip(0, 255)
            assert np.abs(bug - expected).max() <= 1, case
        else:
            assert changed.max() == 0, case
        seen.add(name)
    assert len(seen) == 15


@settings(deadline=None, max_examples=60)
@given(
    operation=st.sampled_from(OPERATIONS),
    ranges=st.sampled_from(sorted(RANGES)),
    share=st.floats(0, 1),
    negative=st.booleans(),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 9),
)
def test_any_operation_gives_an_image_of_the_same_size_and_leaves_the_given_one(
    operation: Operation,
    ranges: Ranges,
    share: float,
    negative: bool,
    size: tuple[int, int],
    seed: int,
) -> None:
    image = Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    )
    before = image.tobytes()
    value = argument(operation, ranges, share, negative, size)
    changed = operate(image, operation, value)
    assert changed.size == size
    assert changed.mode == "RGB"
    assert image.tobytes() == before
    assert changed is not image


def test_empty_areas_have_the_grey_level_fill() -> None:
    image = Image.new("RGB", (8, 8), (255, 0, 0))
    moved = np.asarray(operate(image, "translate_x", 3, 128))
    assert (moved[:, :3] == 128).all()
    assert (moved[:, 3:] == [255, 0, 0]).all()
    assert (np.asarray(operate(image, "translate_y", -8, 9)) == 9).all()


@pytest.mark.parametrize(
    ("place", "box"),
    [((0.5, 0.5), (8, 3, 12, 7)), ((0.0, 0.0), (0, 0, 2, 2)), ((0.999, 0.999), (17, 7, 20, 10))],
)
def test_cutout_greys_a_square_that_ends_at_the_edges(
    place: tuple[float, float], box: tuple[int, int, int, int]
) -> None:
    image = Image.new("RGB", (20, 10), (255, 0, 0))
    left, top, right, bottom = box
    expected = np.full((10, 20, 3), [255, 0, 0])
    expected[top:bottom, left:right] = 128
    assert np.array_equal(np.asarray(operate(image, "cutout", 4, place=place)), expected)


def test_names_are_what_papers_call_them() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)?", name) for name in OPERATIONS)
    assert all(set(spans) == set(OPERATIONS) for spans in RANGES.values())
    assert set(LEVELS) == set(RANGES)
