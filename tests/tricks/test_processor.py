"""What a CPU does its own way, image by image or box by box, gives what a compiled step gives for all at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from trickbag.tricks.color_jitter import ColorJitter, enhance
from trickbag.tricks.mixing import paste
from trickbag.tricks.processor import at_a_time, one_by_one
from trickbag.tricks.random_erasing import fill, pixel_noise

BOXES = torch.tensor([[10, 90, 0, 160], [0, 0, 5, 5], [169, 170, 3, 4]])
PARTNER = torch.tensor([2, 1, 0])
FACTORS, ORDER = map(torch.from_numpy, ColorJitter(form="code").draw(3, np.random.default_rng(0)))
COLOR = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
NOISE = torch.randn(4_099, generator=torch.Generator().manual_seed(1))


def images_of(height: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(3, 3, height, 160, generator=torch.Generator().manual_seed(0)).to(dtype) * 255


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize(
    ("change", "apart"),
    [
        (lambda images: paste(images, BOXES, PARTNER), 0),
        (lambda images: paste(images, BOXES[:1], PARTNER), 0),
        (lambda images: fill(images, BOXES, pixel_noise(NOISE, *images.shape)), 0),
        (lambda images: fill(images, BOXES, COLOR), 0),
        (lambda images: enhance(images, FACTORS, ORDER), 1e-3),
    ],
    ids=["paste", "paste one", "noise", "color", "jitter"],
)
def test_a_cpus_way_is_that_of_a_compiled_step(
    change: Callable[[Tensor], Tensor], apart: float, layout: torch.memory_format
) -> None:
    images = images_of(170).contiguous(memory_format=layout)
    assert one_by_one(images)
    before = images.clone()
    ours = change(images)
    torch._dynamo.reset()
    torch.testing.assert_close(
        ours, torch.compile(change, backend="eager", fullgraph=True, dynamic=False)(images), rtol=0, atol=apart
    )
    assert torch.equal(images, before), "the images that were given stay as they are"
    assert not torch.equal(ours, images)
    assert ours.is_contiguous(memory_format=layout)


def test_how_many_images_at_a_time() -> None:
    assert [at_a_time(torch.empty(n, 3, 32, 32)) for n in (0, 1, 128)] == [2**21, 170, 170]
    assert at_a_time(torch.empty(2, 3, 2_000, 2_000)) == 1
    elsewhere = torch.empty(128, 3, 224, 224, device="meta")
    assert at_a_time(elsewhere) == 128
    assert at_a_time(elsewhere[:0]) == 1
    assert not one_by_one(elsewhere)
    assert not one_by_one(torch.empty(0, 3, 224, 224))
    assert not one_by_one(torch.empty(1, 3, 128, 128))
    assert one_by_one(torch.empty(1, 3, 160, 160))
