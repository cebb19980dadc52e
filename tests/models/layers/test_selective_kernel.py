"""Selective kernels, compared with sums by hand, timm, and the code of Lee et al. 2020."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.layers import SelectiveKernel
from torch import Tensor, nn
from torch.nn import functional

from tests.models.official.originals import generator, tensor, vector
from tests.models.random_weights import fill, images
from trickbag.models.layers.blocks import Bottleneck
from trickbag.models.layers.selective_blocks import SelectiveBasicBlock, SelectiveBottleneck
from trickbag.models.layers.selective_kernel import (
    AssembleKernel2d,
    ConvNorm,
    DilatedKernels2d,
    KernelAttention,
)
from trickbag.models.layers.shortcut import conv_shortcut
from trickbag.models.layers.slots import Slots
from trickbag.models.parts import (
    AssembleKernel,
    BatchNorm,
    Blur,
    OriginalKernel,
    Relu,
    SplitKernel,
    SqueezeExcitePart,
)

SLOTS = Slots(norm=BatchNorm(), activation=Relu())


def normed(x: Tensor, norm: nn.Module) -> Tensor:
    """Normalise in float64 by running statistics."""
    place = (1, -1, 1, 1)
    mean, var = norm.running_mean.double().view(place), norm.running_var.double().view(place)
    return (x - mean) / (var + norm.eps).sqrt() * norm.weight.double().view(
        place
    ) + norm.bias.double().view(place)


def attention(attn: KernelAttention, first: Tensor, second: Tensor) -> Tensor:
    """Weigh two maps by hand, in float64."""
    s = (first + second).mean((2, 3), keepdim=True)
    z = normed(functional.conv2d(s, attn.fc_reduce.weight.double()), attn.bn).clamp(min=0)
    a, b = functional.conv2d(z, attn.fc_select.weight.double()).chunk(2, 1)
    weight = a.exp() / (a.exp() + b.exp())
    return weight * first + (1 - weight) * second


def by_hand(layer: ConvNorm, x: Tensor, **conv: int) -> Tensor:
    return normed(functional.conv2d(x, layer.conv.weight.double(), **conv), layer.bn).clamp(min=0)


@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_assemble_kernel_by_hand(stride):
    layer = fill(AssembleKernel2d(6, 10, 4, stride=stride, slots=SLOTS))
    x = images(2, 6, 9)
    both = by_hand(layer.conv, x.double(), stride=stride, padding=1)
    expected = attention(layer.attn, both[:, :10], both[:, 10:])
    assert expected.shape[1] == 10
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("split", [False, True])
@torch.no_grad()
def test_dilated_kernels_by_hand(split):
    layer = fill(DilatedKernels2d(6, 10, 4, stride=2, split=split, slots=SLOTS))
    x = images(2, 6, 9)
    near, far = (x[:, :3], x[:, 3:]) if split else (x, x)
    first = by_hand(layer.paths[0], near.double(), stride=2, padding=1)
    second = by_hand(layer.paths[1], far.double(), stride=2, padding=2, dilation=2)
    torch.testing.assert_close(
        layer(x).double(), attention(layer.attn, first, second), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("settings", "timm_options"),
    [
        (SplitKernel(), {"split_input": True}),
        (
            SplitKernel(reduction=8, least=16),
            {"split_input": True, "rd_ratio": 1 / 8, "rd_divisor": 16},
        ),
        (OriginalKernel(), {"split_input": False, "rd_ratio": 1 / 16, "rd_divisor": 32}),
    ],
    ids=["split", "split of skresnet18", "original"],
)
@pytest.mark.parametrize(("width", "groups"), [(64, 1), (128, 32), (512, 1)])
def test_both_forms_equal_those_of_timm(settings, timm_options, width, groups):
    reference = fill(SelectiveKernel(width, width, stride=2, groups=groups, **timm_options))
    layer = settings(width, width, 2, groups, SLOTS).eval()
    layer.load_state_dict(reference.state_dict(), strict=True)
    for size in (8, 7):
        x = images(2, width, size)
        with torch.no_grad():
            torch.testing.assert_close(layer(x), reference(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "inside"), [(32, 32), (64, 32), (128, 64), (256, 128), (512, 256)]
)
def test_channels_inside_the_attention_of_assemble(width, inside):
    assert AssembleKernel()(width, width, 1, 1, SLOTS).attn.fc_reduce.out_channels == inside


@pytest.mark.parametrize(
    "settings", [AssembleKernel(), OriginalKernel(), SplitKernel()], ids=lambda s: s.kind
)
def test_the_attention_starts_from_equal_weights_and_learns(settings):
    layer = settings(16, 16, 1, 1, SLOTS).train()
    nn.init.zeros_(layer.attn.fc_select.weight)
    x = images(3, 16, 6)
    weights = layer.attn(images(3, 16, 1))
    assert all(torch.equal(weight, torch.full_like(weight, 0.5)) for weight in weights)
    layer(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    assert layer.attn.fc_select.weight.grad.any()


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


@torch.no_grad()
def test_the_order_of_layers_in_a_bottleneck():
    slots = Slots(
        norm=BatchNorm(),
        activation=Relu(),
        attention=SqueezeExcitePart(),
        selective_kernel=AssembleKernel(),
        anti_alias=Blur(),
        drop=Half,
    )
    block = fill(
        SelectiveBottleneck(
            16, 8, stride=2, downsample=conv_shortcut(16, 32, 2, slots), slots=slots
        )
    )
    x = images(2, 16, 9)
    y = block.conv1.bn(block.conv1.conv(x)) / 2
    y = block.aa2(block.conv2(y.relu()) / 2)
    y = block.se(block.conv3.bn(block.conv3.conv(y)) / 2)
    expected = (y + block.downsample[1](block.downsample[0](x)) / 2).relu()
    assert block.conv2.conv.conv.stride == (1, 1)
    torch.testing.assert_close(block(x), expected)
    assert sum(isinstance(module, Half) for module in block.modules()) == 4


def test_a_block_without_last_activation_may_be_negative():
    slots = Slots(norm=BatchNorm(), activation=Relu(), selective_kernel=AssembleKernel())
    for block in (
        SelectiveBottleneck(16, 4, last_activation=False, slots=slots),
        Bottleneck(16, 4, last_activation=False, slots=slots),
    ):
        activated = type(block)(16, 4, slots=slots)
        activated.load_state_dict(fill(block).state_dict(), strict=True)
        x = images(1, 16, 5)
        with torch.no_grad():
            out = block(x)
            assert out.min() < 0
            assert torch.equal(out.relu(), activated.eval()(x))


@pytest.mark.parametrize("kind", [SelectiveBasicBlock, SelectiveBottleneck])
def test_selective_blocks_need_their_slot(kind):
    with pytest.raises(ValueError, match=r"slots\.selective_kernel"):
        kind(16, 16, slots=SLOTS)


@pytest.mark.parametrize("kind", [SelectiveBasicBlock, SelectiveBottleneck])
def test_zero_init_last_makes_a_block_its_shortcut(kind):
    slots = Slots(norm=BatchNorm(), activation=Relu(), selective_kernel=SplitKernel())
    block = fill(kind(4 * kind.expansion, 4, slots=slots))
    block.zero_init_last()
    nn.init.zeros_(block.conv3.bn.bias if kind is SelectiveBottleneck else block.conv2.bn.bias)
    x = images(1, 4 * kind.expansion, 5)
    with torch.no_grad():
        assert torch.equal(block(x), x.relu())


@pytest.mark.data
@pytest.mark.parametrize("stride", [1, 2])
def test_the_kernel_equals_that_of_lee_et_al(stride):
    facts, arrays = vector("units")
    weights = [
        tensor(generator().weight(name, shape)) for name, shape in facts[f"sk_s{stride}_vars"]
    ]
    layer = AssembleKernel()(16, 24, stride, 1, SLOTS).eval()
    kernel, *norm = weights[:5]
    reduce, *inner, select = weights[5:]
    statistics = ("weight", "bias", "running_mean", "running_var")
    state = {
        "conv.conv.weight": kernel,
        "attn.fc_reduce.weight": reduce,
        "attn.fc_select.weight": select,
    }
    state = {name: value.permute(3, 2, 0, 1) for name, value in state.items()}
    state |= {f"conv.bn.{name}": value for name, value in zip(statistics, norm, strict=True)}
    state |= {f"attn.bn.{name}": value for name, value in zip(statistics, inner, strict=True)}
    layer.load_state_dict(state, strict=True)
    with torch.no_grad():
        got = layer(tensor(arrays["sk_in"])).numpy()
    np.testing.assert_allclose(got, arrays[f"sk_s{stride}_out"], rtol=1e-4, atol=1e-5)
