"""Strides larger than a map: the output stays the same, and gradients of padding are zero."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.builders.recipes import tiny_recipe
from trickbag.data.dataset import prepare
from trickbag.train.build import build
from trickbag.train.machine.small_maps import pad_small_maps
from trickbag.train.plan.resolve import resolve


def padded(conv: nn.Conv2d) -> nn.Conv2d:
    pad_small_maps(conv)
    return conv


def calls(
    kernel: int, stride: int, padding: int | str, sides: tuple[int, int], **more: int
) -> bool:
    """Whether a padded convolution gives what the plain one gives, or fails as it does, in
    float64."""
    conv = nn.Conv2d(4, 4, kernel, stride=stride, padding=padding, **more).double()
    maps = torch.randn(
        2, 4, *sides, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    try:
        expected = conv(maps)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            padded(conv)(maps)
        return True
    return torch.allclose(padded(conv)(maps), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sides", [(1, 1), (1, 3), (2, 5), (3, 3), (4, 7)])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_output_stays(stride: int, sides: tuple[int, int]) -> None:
    for kernel, padding in itertools.product((1, 2, 3, 4, 5, 7), (0, 1, 2, 3)):
        assert calls(kernel, stride, padding, sides), (kernel, padding)
    assert calls(3, stride, 2, sides, dilation=2)
    assert calls(3, stride, 1, sides, groups=2)
    assert calls(1, stride, "valid", sides)


@pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"]
)
@pytest.mark.parametrize(
    ("kernel", "stride", "side"), [(3, 2, 1), (3, 4, 2), (3, 4, 3), (5, 2, 1), (7, 4, 3)]
)
def test_gradients_in_bfloat16_are_those_in_float64(
    kernel: int, stride: int, side: int, layout: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(1)
    conv = padded(
        nn.Conv2d(64, 64, kernel, stride=stride, padding=kernel // 2, bias=False).to(
            memory_format=layout
        )
    )
    maps = torch.randn(8, 64, side, side, generator=generator).contiguous(memory_format=layout)
    exact = conv.weight.detach().double().requires_grad_()
    functional.conv2d(maps.double(), exact, stride=stride, padding=kernel // 2).sum().backward()
    assert exact.grad is not None
    for _ in range(3):
        torch.full((256, 256, 3, 3), 1e10)  # what freed memory holds
        conv.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            out = conv(maps)
        out.float().sum().backward()
        assert conv.weight.grad is not None
        assert torch.allclose(conv.weight.grad.double(), exact.grad, rtol=0.05, atol=0.2)
        assert not conv.weight.grad[exact.grad == 0].any()


def test_a_run_in_bfloat16_on_a_cpu_is_mended(pictures: Path) -> None:
    for precision, hooks in (("bf16", True), ("float32", False)):
        recipe = tiny_recipe(pictures).only("warmup").on("resnet18").set("data.image_size", "16")
        recipe = (
            recipe.set("model.small_stem", "never")
            .set("training.device", "cpu")
            .set("training.precision", precision)
        )
        plan, _ = resolve(recipe, prepare(recipe.data), 0)
        run, _ = build(plan, recipe.tricks)
        conv = run.network.get_submodule("layer4.0.conv1")
        assert bool(conv._forward_pre_hooks) is hooks
