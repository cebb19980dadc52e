"""A CPU, which changes image by image or box by box, gives what a compiled step gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from trickbag.functional.mixing import paste
from trickbag.functional.processor import chunk_size, one_by_one
from trickbag.tricks.color_jitter import ColorJitter, enhance
from trickbag.tricks.random_erasing import fill, pixel_noise

BOXES = torch.tensor([[10, 90, 0, 160], [0, 0, 5, 5], [169, 170, 3, 4]])
PARTNER = torch.tensor([2, 1, 0])
FACTORS, ORDER = map(torch.from_numpy, ColorJitter(form="code").draw(3, np.random.default_rng(0)))
COLOR = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
NOISE = torch.randn(4_099, generator=torch.Generator().manual_seed(1))


def images_of(height: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(3, 3, height, 160, generator=torch.Generator().manual_seed(0)).to(dtype) * 255


BOXES_CHANGES: dict[str, Callable[..., Tensor]] = {
    "paste": lambda images, **options: paste(images, BOXES, PARTNER, **options),
    "paste one": lambda images, **options: paste(images, BOXES[:1], PARTNER, **options),
    "noise": lambda images, **options: fill(
        images, BOXES, pixel_noise(NOISE, *images.shape).to(images.dtype), **options
    ),
    "one color": lambda images, **options: fill(
        images, BOXES[:1], COLOR.to(images.dtype), **options
    ),
    "color": lambda images, **options: fill(images, BOXES, COLOR.to(images.dtype), **options),
}


def compiled(change: Callable[..., Tensor], images: Tensor) -> Tensor:
    torch.compiler.reset()
    function = torch.compile(change, backend="eager", fullgraph=True, dynamic=False)
    changed: Tensor = function(images)
    return changed


@pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("change", BOXES_CHANGES.values(), ids=BOXES_CHANGES)
def test_boxes_on_a_cpu_are_those_of_a_compiled_step(
    change: Callable[..., Tensor], dtype: torch.dtype, layout: torch.memory_format
) -> None:
    images = images_of(170, dtype).contiguous(memory_format=layout)
    before = images.clone()
    ours = change(images)
    assert torch.equal(ours, compiled(change, images))
    assert torch.equal(images, before), "the given images stay as they are"
    assert not torch.equal(ours, images)
    assert ours.is_contiguous(memory_format=layout)
    assert torch.equal(change(images, owned=True), ours)


@pytest.mark.parametrize(
    "change", [BOXES_CHANGES["paste one"], BOXES_CHANGES["noise"]], ids=["paste one", "noise"]
)
def test_owned_images_are_changed_in_place(change: Callable[..., Tensor]) -> None:
    images = images_of(20)
    assert change(images, owned=True) is images


@pytest.mark.parametrize("change", BOXES_CHANGES.values(), ids=BOXES_CHANGES)
def test_gradients_go_through_boxes(change: Callable[..., Tensor]) -> None:
    images = images_of(20, torch.float64).requires_grad_()
    weights = torch.rand(
        images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    (change(images, owned=True) * weights).sum().backward()
    # The change is affine in the images: gradient times images, plus the change of a black image.
    with torch.no_grad():
        fixed = (change(torch.zeros_like(images)) * weights).sum()
        assert images.grad is not None
        total = (images.grad * images).sum() + fixed
        expected = (change(images.detach()) * weights).sum()
        torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"]
)
def test_jitter_image_by_image_is_that_of_a_compiled_step(layout: torch.memory_format) -> None:
    images = images_of(170).contiguous(memory_format=layout)
    assert one_by_one(images)
    before = images.clone()
    ours = enhance(images, FACTORS, ORDER)
    expected = compiled(lambda images: enhance(images, FACTORS, ORDER), images)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-3)
    assert torch.equal(images, before), "the given images stay as they are"
    assert not torch.equal(ours, images)
    assert ours.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("height", [20, 170])
def test_gradients_go_through_jitter(height: int) -> None:
    images = images_of(height).requires_grad_()
    enhance(images, FACTORS, ORDER).sum().backward()
    assert images.grad is not None
    near = images_of(height)
    near[1, 0, 3, 4] += 1  # away from where colours are cut off
    change = (
        enhance(near.double(), FACTORS, ORDER).sum()
        - enhance(images_of(height).double(), FACTORS, ORDER).sum()
    )
    assert float(images.grad[1, 0, 3, 4]) == pytest.approx(float(change), abs=0.02)


def test_chunks_fit_the_cache_of_a_cpu() -> None:
    assert [chunk_size(torch.empty(n, 3, 32, 32)) for n in (0, 1, 128)] == [2**21, 170, 170]
    assert chunk_size(torch.empty(2, 3, 2_000, 2_000)) == 1
    on_other_device = torch.empty(128, 3, 224, 224, device="meta")
    assert chunk_size(on_other_device) == 128
    assert chunk_size(on_other_device[:0]) == 1
    assert not one_by_one(on_other_device)
    assert not one_by_one(torch.empty(0, 3, 224, 224))
    assert not one_by_one(torch.empty(1, 3, 128, 128))
    assert one_by_one(torch.empty(1, 3, 160, 160))
