"""Convolutions of small maps: matrix products, and strides larger than a map."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.builders.recipes import tiny_recipe
from trickbag.data.dataset import prepare
from trickbag.train.build import build
from trickbag.train.machine import small_maps
from trickbag.train.machine.small_maps import (
    ALL_PRODUCTS_PIXELS,
    PRODUCT_PIXELS,
    ProductConv2d,
    pad_small_maps,
    use_products,
)
from trickbag.train.plan.plan import Plan
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


PRODUCTS = [
    (kernel, stride, padding, sides)
    for kernel, stride, padding in [
        (3, 1, 1),
        (3, 2, 1),
        (1, 1, 0),
        (1, 2, 0),
        (5, 1, 2),
        (2, 2, 0),
    ]
    for sides in [(1, 1), (2, 2), (3, 3), (2, 4), (5, 5), (4, 9)]
    if min(sides) + 2 * padding >= kernel
]
"""Convolutions and their maps: all pixels of the output by products, some gradients, and none."""


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the rows of every product of windows."""
    rows: list[int] = []
    windows = small_maps._windows

    def counting(*arguments: Any) -> Any:
        rows_of_all, sides = windows(*arguments)
        rows.append(len(rows_of_all))
        return rows_of_all, sides

    monkeypatch.setattr(small_maps, "_windows", counting)
    return rows


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize(("kernel", "stride", "padding", "sides"), PRODUCTS)
def test_products_are_the_convolution(
    kernel: int,
    stride: int,
    padding: int,
    sides: tuple[int, int],
    bias: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(2)
    conv = nn.Conv2d(24, 40, kernel, stride=stride, padding=padding, bias=bias)
    use_products(conv)
    assert isinstance(conv, ProductConv2d)
    # Numbers that bfloat16 holds, so that float64 has the same.
    maps = torch.randn(6, 24, *sides, generator=generator).bfloat16().float()
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(parameter.bfloat16())
    exact = [maps.double().requires_grad_()]
    exact += [parameter.detach().double().requires_grad_() for parameter in conv.parameters()]
    expected = functional.conv2d(*exact, stride=stride, padding=padding)  # type: ignore[arg-type]
    toward = torch.randn(expected.shape, generator=generator).bfloat16()
    expected.backward(toward.double())
    maps.requires_grad_()
    rows = counted(monkeypatch)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(maps)
    assert out.dtype == torch.bfloat16
    out.backward(toward)
    pixels = expected.shape[2] * expected.shape[3]
    products = 0 if pixels > PRODUCT_PIXELS else 1 if pixels > ALL_PRODUCTS_PIXELS else 2
    assert len(rows) == products + (products == 2 and stride == 1)
    assert torch.allclose(out.double(), expected, rtol=2**-7, atol=0.02)
    for tensor, reference in zip((maps, *conv.parameters()), exact, strict=True):
        assert tensor.grad is not None
        assert reference.grad is not None
        assert tensor.grad.shape == reference.grad.shape
        tolerance = 2**-7 * float(reference.grad.abs().max())
        assert torch.allclose(tensor.grad.double(), reference.grad, rtol=2**-7, atol=tolerance)


def test_other_convolutions_stay_as_they_are() -> None:
    others = nn.ModuleList(
        [
            nn.Conv2d(4, 4, 3, padding=1, groups=2),
            nn.Conv2d(4, 4, 3, padding=2, dilation=2),
            nn.Conv2d(4, 4, 3, padding="same"),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            nn.Conv2d(4, 4, 1, padding=1),
        ]
    )
    use_products(others)
    assert not any(isinstance(conv, ProductConv2d) for conv in others)


def test_float32_and_evaluation_are_torchs_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Conv2d(8, 8, 3, padding=1)
    plain = copy.deepcopy(conv)
    use_products(conv)
    rows = counted(monkeypatch)
    maps = torch.randn(2, 8, 2, 2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(conv(maps), plain(maps))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(conv(maps), plain(maps))
    assert conv(maps[:0]).shape == (0, 8, 2, 2)
    assert not rows


@pytest.mark.parametrize("setting", ["auto", "products", "convolutions"])
def test_the_plan_says_how_small_maps_are_computed(setting: str, pictures: Path) -> None:
    for precision in ("bf16", "float32"):
        recipe = tiny_recipe(pictures).only("warmup").on("resnet18").set("data.image_size", "16")
        recipe = recipe.set("training.device", "cpu").set("training.small_maps", setting)
        recipe = recipe.set("training.precision", precision)
        plan, notes = resolve(recipe, prepare(recipe.data), 0)
        products = precision == "bf16" and setting != "convolutions"
        assert plan.training.small_maps == ("products" if products else "convolutions")
        text = "training.small_maps=products changes nothing: it is for bf16 on a CPU"
        texts = [note.text for note in notes if "small_maps" in note.text]
        assert texts == [text] * (setting == "products" and precision == "float32")
        run, _ = build(plan, recipe.tricks)
        conv = run.network.get_submodule("layer4.0.conv1")
        assert isinstance(conv, ProductConv2d) is products
        stored = plan.to_stored()
        assert Plan.from_stored(stored).training.small_maps == plan.training.small_maps
        # A run of before there was a choice goes on with the bits that it began with.
        del stored["training"]["small_maps"]
        assert Plan.from_stored(stored).training.small_maps == "convolutions"


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
