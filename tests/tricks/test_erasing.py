"""Cutout and random erasing: against timm, torchvision, and loops by hand."""

from __future__ import annotations

import math
import random
from typing import Literal

import numpy as np
import pytest
import torch
from scipy import stats
from timm.data.random_erasing import RandomErasing as TimmErasing
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from trickbag.errors import UserError
from trickbag.functional.boxes import around, within
from trickbag.tricks.cutout import Cutout, blank
from trickbag.tricks.random_erasing import RandomErasing, fill, normal_numbers, pixel_noise
from trickbag.tricks.trick import START, Batch, Timestamp, Trick

Fill = Literal["zero", "color", "pixel"]


def images_of(n: int, size: int = 16) -> Tensor:
    """Random images without a zero."""
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n)) + 0.5


def batch_of(n: int, size: int = 16) -> Batch:
    return Batch(images_of(n, size), torch.eye(n), torch.arange(n), {"teacher": torch.eye(n)})


def draws(trick: Trick, n: int, seed: int = 0, timestamp: Timestamp = START) -> list[Tensor]:
    return [
        torch.from_numpy(item) for item in trick.draw(n, np.random.default_rng(seed), timestamp)
    ]


def test_cutout_equals_the_published_code() -> None:
    trick, n = Cutout(side=0.5), 64
    centre, sides = draws(trick, n)
    changed = trick.batch(batch_of(n, 16), centre, sides)
    expected = images_of(n, 16).clone()
    for i in range(n):
        y, x = (int(c * 16) for c in centre[i])
        top, bottom, left, right = (min(max(v, 0), 16) for v in (y - 4, y + 4, x - 4, x + 4))
        expected[i, :, top:bottom, left:right] = 0
    assert torch.equal(changed.images, expected)
    assert changed.targets.equal(torch.eye(n))
    assert changed.extras["teacher"].equal(torch.eye(n))
    assert torch.equal(blank(images_of(n), around(centre, sides, 16, 16)), expected)


def timm_boxes(seed: int, n: int, size: int, probability: float) -> Tensor:
    """The boxes that timm draws in its loop over Python's random numbers; zeros for no box."""
    rng, boxes = random.Random(seed), torch.zeros(n, 4, dtype=torch.int64)
    for i in range(n):
        if rng.random() > probability:
            continue
        for _ in range(10):
            area = rng.uniform(0.02, 1 / 3) * size * size
            ratio = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if w < size and h < size:
                top, left = rng.randint(0, size - h), rng.randint(0, size - w)
                boxes[i] = torch.tensor([top, top + h, left, left + w])
                break
    return boxes


@pytest.mark.parametrize("mode", ["const", "rand"])
def test_filling_equals_timms_for_the_same_boxes(mode: str) -> None:
    n, size = 32, 16
    images = images_of(n, size)
    random.seed(5)
    with torch.random.fork_rng(devices=[]):
        options = {"probability": 0.6, "mode": mode, "device": "cpu"}
        erasing = TimmErasing(**options)  # type: ignore[no-untyped-call]
        expected = erasing(images.clone())
    boxes = timm_boxes(5, n, size, 0.6)
    erased = (boxes[:, 1] > boxes[:, 0]).nonzero()[:, 0]
    assert 0 < len(erased) < n
    values = torch.zeros(n, 3, 1, 1)
    for i in erased.tolist():
        values[i, :, 0, 0] = expected[i, :, boxes[i, 0], boxes[i, 2]]
    assert torch.equal(fill(images, boxes, values), expected)


def test_filling_equals_torchvisions_for_the_same_box() -> None:
    images, noise = (
        images_of(3),
        torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)),
    )
    boxes = torch.tensor([[2, 9, 1, 16]]).expand(3, 4)
    expected = v2.erase(images, 2, 1, 7, 15, noise[:, :, 2:9, 1:16])
    assert torch.equal(fill(images, boxes, noise), expected)


def test_sizes_shapes_and_places_follow_the_paper() -> None:
    n, size = 20_000, 256
    corner, sides, _ = draws(RandomErasing(prob=0.5, area=(0.1, 0.3), fill="zero"), n)
    erased = sides[:, 0] > 0
    assert float(erased.float().mean()) == pytest.approx(0.5, abs=0.02)
    boxes = within(corner, sides, size, size)[erased]
    height, width = (boxes[:, 1] - boxes[:, 0]).double(), (boxes[:, 3] - boxes[:, 2]).double()
    area, ratio = height * width / size**2, height / width
    assert float(area.min()) > 0.095
    assert float(area.max()) < 0.305
    # No pair is drawn again here: area * ratio is at most 0.3 / 0.3.
    assert float(area.mean()) == pytest.approx(0.2, abs=0.003)
    assert float(ratio.log().mean()) == pytest.approx(0, abs=0.03)
    assert float(ratio.log().var()) == pytest.approx((2 * math.log(1 / 0.3)) ** 2 / 12, rel=0.05)
    # The position is uniform among those that fit.
    place = (boxes[:, 0] + 0.5) / (size - height + 1)
    assert float(place.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(place.var()) == pytest.approx(1 / 12, rel=0.05)


def test_a_rectangle_that_does_not_fit_is_drawn_again() -> None:
    _, sides, _ = draws(
        RandomErasing(prob=1.0, area=(0.3, 0.9), ratio=(0.2, 5.0), fill="zero"), 2_000
    )
    # A single attempt fits in two thirds of the cases.
    assert float((sides > 0).float().mean()) > 0.97
    assert float(sides.max()) < 1
    _, sides, _ = draws(
        RandomErasing(prob=1.0, area=(0.9, 1.0), ratio=(1.1, 5.0), fill="zero"), 2_000
    )
    # Hardly any fits in ten attempts; the other images stay as they are.
    assert 0 < int((sides > 0).all(dim=1).sum()) < 200
    assert float(sides.max()) < 1


@pytest.mark.parametrize("kind", ["zero", "color", "pixel"])
def test_the_fill_of_the_rectangles(kind: Fill) -> None:
    trick, n = RandomErasing(prob=1.0, area=(0.2, 0.4), fill=kind), 24
    draw = draws(trick, n)
    changed = trick.batch(batch_of(n, 32), *draw)
    boxes = within(draw[0], draw[1], 32, 32)
    inner = []
    for i, (top, bottom, left, right) in enumerate(boxes.tolist()):
        region = changed.images[i, :, top:bottom, left:right]
        outside = changed.images[i].clone()
        outside[:, top:bottom, left:right] = images_of(n, 32)[i, :, top:bottom, left:right]
        assert torch.equal(outside, images_of(n, 32)[i])
        if kind != "pixel":
            assert torch.equal(region, region[:, :1, :1].expand_as(region))
        inner.append(region.flatten() if kind == "pixel" else region[:, 0, 0])
    values = torch.cat(inner)
    assert values.unique().numel() == {"zero": 1, "color": 3 * n}.get(kind, values.unique().numel())
    if kind == "pixel":
        # All pixels are from a list of 4,099 numbers: within 3.5 standard errors of that.
        assert float(values.mean()) == pytest.approx(0, abs=3.5 / math.sqrt(4_099))
        assert float(values.std()) == pytest.approx(1, abs=3.5 / math.sqrt(2 * 4_099))
    assert changed.targets.equal(torch.eye(n))
    assert changed.extras["teacher"].equal(torch.eye(n))


def test_noise_is_normal() -> None:
    values = normal_numbers(200_000, np.random.default_rng(0))
    assert values.dtype == np.float32
    assert stats.kstest(values, "norm").pvalue > 0.01
    assert stats.kurtosis(values) == pytest.approx(0, abs=0.05)
    assert 3.6 < np.abs(values).max() < 3.7


def test_each_image_starts_at_another_position_of_the_noise() -> None:
    noise = torch.arange(4_099.0)
    laid = pixel_noise(noise, 4, 3, 80, 80)
    for i in range(4):
        assert torch.equal(
            laid[i].flatten(), (torch.arange(3 * 80 * 80) + 7 * i).remainder(4_099).float()
        )


@pytest.mark.parametrize(
    "trick", [Cutout(off_epochs=2), RandomErasing(prob=1.0, off_epochs=2)], ids=repr
)
@pytest.mark.parametrize("n", [1, 3])
def test_off_epochs_leave_the_images_as_they_are(trick: Trick, n: int) -> None:
    for epoch, erasing in ((0, True), (7, True), (8, False), (9, False)):
        draw = draws(trick, n, epoch, Timestamp(epoch, 0, 10, 10))
        assert torch.equal(trick.batch(batch_of(n), *draw).images, images_of(n)) is not erasing
        assert [t.shape for t in draw] == [t.shape for t in draws(trick, n)], "nothing recompiles"


def test_ranges_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(
        UserError,
        match=r"random_erasing.area = 0.4,0.2: the first value must not be above the second",
    ):
        RandomErasing(area=(0.4, 0.2))
    with pytest.raises(UserError, match=r"random_erasing.ratio = 3,1"):
        RandomErasing(ratio=(3.0, 1.0))


@pytest.mark.parametrize(
    ("area", "ratio"),
    [((1.0, 1.0), (0.3, 3.0)), ((0.9, 0.9), (3.0, 4.0)), ((0.5, 0.6), (0.1, 0.5))],
)
def test_rectangles_that_never_fit_are_refused(
    area: tuple[float, float], ratio: tuple[float, float]
) -> None:
    with pytest.raises(UserError, match="no such rectangle lies inside a square image"):
        RandomErasing(area=area, ratio=ratio)


@pytest.mark.parametrize(
    ("area", "ratio"),
    [((0.9, 1.0), (0.3, 3.0)), ((0.3, 0.9), (3.0, 4.0)), ((0.4, 0.6), (0.1, 0.5))],
)
def test_rectangles_that_sometimes_fit_are_drawn(
    area: tuple[float, float], ratio: tuple[float, float]
) -> None:
    trick = RandomErasing(prob=1.0, area=area, ratio=ratio, fill="zero")
    sides = trick.draw(10_000, np.random.default_rng(0))[1]
    assert (sides > 0).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["zero", "color", "pixel"])
def test_erasing_takes_any_number_of_channels(channels: int, kind: Fill) -> None:
    trick = RandomErasing(prob=1.0, fill=kind)
    images = torch.full((4, channels, 9, 9), 7.0)
    batch = Batch(images.clone(), torch.eye(4), torch.arange(4), {})
    erased = trick.batch(batch, *draws(trick, 4)).images
    assert erased.shape == images.shape
    changed = erased != 7
    assert changed.any(dim=(1, 2, 3)).all()
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
