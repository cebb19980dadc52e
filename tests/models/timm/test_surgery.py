"""Parts put into networks of timm: their places, and equality with networks built with them."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from tests.models.metadata import metadata_of
from tests.models.random_weights import fill, images
from tests.models.timm.handmade import handmade
from trickbag.errors import DoesNotApply
from trickbag.models import build_network, load
from trickbag.models.config import ResNetConfig, TimmConfig, model_config
from trickbag.models.layers.anti_alias import BlurPool2d
from trickbag.models.layers.squeeze_excite import SqueezeExcite2d
from trickbag.models.parts import (
    AveragePool,
    Blur,
    Gelu,
    LeakyRelu,
    Mish,
    Relu,
    Silu,
    SqueezeExcitePart,
)
from trickbag.models.timm.residual_branches import Unfit, gates
from trickbag.models.timm.surgery import add_anti_alias, add_attention, swap_activations
from trickbag.models.timm.trace import record
from trickbag.models.weights import save_weights
from trickbag.models.zoo import layer_groups

EVERYTHING = TimmConfig(
    name="mobilenetv2_050",
    activation=Silu(),
    attention=SqueezeExcitePart(reduction=4),
    anti_alias=Blur(),
    num_classes=3,
)


# Equality with networks that were built with the part.

PARITY = [
    ("resnet18", {"anti_alias": Blur()}),
    ("resnet18", {"anti_alias": Blur(size=5, places=("branch", "shortcut", "stem"))}),
    ("resnet18", {"anti_alias": AveragePool(places=("branch", "stem"))}),
    ("resnet18", {"activation": LeakyRelu(slope=0.3)}),
    ("resnet18d", {"anti_alias": Blur(size=4, places=("shortcut",)), "activation": Mish()}),
]
OURS: dict[str, dict[str, Any]] = {
    "resnet18": {"depth": 18},
    "resnet18d": {"depth": 18, "stem": "deep", "shortcut": "avg_pool"},
    "resnext50_32x4d": {"depth": 50, "cardinality": 32, "base_width": 4},
}


@pytest.mark.parametrize(
    ("name", "parts"),
    [*PARITY, pytest.param("resnext50_32x4d", PARITY[1][1], marks=pytest.mark.slow)],
)
def test_a_timm_network_with_a_part_equals_ours_with_it(name: str, parts: dict[str, Any]) -> None:
    ours = fill(build_network(ResNetConfig(**OURS[name], **parts, num_classes=5), seed=0)).double()
    reference = build_network(TimmConfig(name=name, **parts, num_classes=5), seed=0).eval().double()
    # Loaded by order: a blur before the convolution of a shortcut changes its name in our networks,
    # but not in timm's.
    reference.load_state_dict(
        dict(zip(reference.state_dict(), ours.state_dict().values(), strict=True)), strict=True
    )
    for size in (64, 75):
        batch = images(2, 3, size).double()
        with torch.no_grad():
            expected, got = ours(batch), reference(batch)
        assert (got - expected).abs().max() < 1e-9 * expected.std()


def test_squeeze_excitation_equals_that_of_our_networks() -> None:
    ours = fill(
        build_network(
            ResNetConfig(depth=18, attention=SqueezeExcitePart(bias=False), num_classes=5), seed=0
        )
    )
    reference = build_network(
        TimmConfig(name="resnet18", attention=SqueezeExcitePart(bias=False), num_classes=5), seed=0
    )
    weights = {
        name.replace(".se.", ".bn2.attention."): value for name, value in ours.state_dict().items()
    }
    reference.eval().load_state_dict(weights, strict=True)
    batch = images(2, 3, 64)
    with torch.no_grad():
        expected, got = ours(batch), reference(batch)
    assert (got - expected).abs().max() < 1e-5 * expected.std()


@pytest.mark.parametrize("name", ["resnetblur18", "seresnet18"])
def test_a_part_gives_the_network_that_timm_builds_with_it(name: str) -> None:
    parts: dict[str, Any] = {"attention": SqueezeExcitePart()}
    if name == "resnetblur18":
        parts = {"anti_alias": Blur(places=("branch", "stem"))}
    reference = fill(timm.create_model(name, num_classes=5))
    ours = build_network(TimmConfig(name="resnet18", **parts, num_classes=5), seed=0).eval()
    state = {
        key.replace(".se.", ".bn2.attention."): value
        for key, value in reference.state_dict().items()
    }
    ours.load_state_dict(state, strict=True)
    batch = images(2, 3, 64)
    with torch.no_grad():
        expected, got = reference(batch), ours(batch)
    assert (got - expected).abs().max() < 1e-5 * expected.std()


# Comparison with a network built by hand.


def test_the_blur_takes_over_a_stride_after_norm_and_activation() -> None:
    network = handmade()
    before = copy.deepcopy(network)
    assert add_anti_alias(network, Blur(size=3)) == 1
    block, plain_block = network.blocks[1], before.blocks[1]
    x = torch.rand(2, 4, 9, 9)
    blur = BlurPool2d(8, size=3, stride=2)
    with torch.no_grad():
        plain_block.a.stride = (1, 1)
        y = plain_block.e(plain_block.d(blur(plain_block.c(plain_block.b(plain_block.a(x))))))
        assert torch.equal(block(x), (y + plain_block.f(x)).relu())
    assert torch.equal(network.blocks[0](x), before.blocks[0](x))


def test_the_blur_precedes_a_shortcut_and_follows_a_dense_max_pool() -> None:
    network = handmade()
    before = copy.deepcopy(network)
    assert add_anti_alias(network, Blur(places=("shortcut", "stem"))) == 2
    block, plain_block = network.blocks[1], before.blocks[1]
    x = torch.rand(2, 4, 9, 9)
    with torch.no_grad():
        y = plain_block.e(plain_block.d(plain_block.c(plain_block.b(plain_block.a(x)))))
        plain_block.f.stride = (1, 1)
        assert torch.equal(block(x), (y + plain_block.f(BlurPool2d(4)(x))).relu())
        assert torch.equal(network.pool(x), BlurPool2d(4)(nn.functional.max_pool2d(x, 3, 1, 1)))


def test_squeeze_excitation_follows_the_last_normalisation() -> None:
    network = handmade()
    before = copy.deepcopy(network)
    assert add_attention(network, SqueezeExcitePart(reduction=2), seed=0) == 2
    block, plain_block = network.blocks[0], before.blocks[0]
    x = torch.rand(2, 4, 9, 9)
    with torch.no_grad():
        y = plain_block.e(plain_block.d(plain_block.c(plain_block.b(plain_block.a(x)))))
        gate = (
            block.e.attention.fc2(block.e.attention.fc1(y.mean((2, 3), keepdim=True)).relu())
        ).sigmoid()
        torch.testing.assert_close(block(x), (y * gate + x).relu())


def test_activations_of_gates_stay() -> None:
    network = handmade(gated=True)
    assert swap_activations(network, Silu()) == 4
    assert [type(m) for block in network.blocks for m in (block.c, block.g, block.i)] == [
        nn.SiLU,
        nn.SiLU,
        nn.ReLU,
    ] * 2


@pytest.mark.parametrize(
    ("name", "swapped", "kept"),
    [
        ("resnet18", 17, 0),
        ("seresnet18", 17, 8),
        pytest.param("densenet121", 121, 0, marks=pytest.mark.slow),
        ("mobilenetv3_small_050", 24, 9),
        ("tf_efficientnet_b0", 33, 16),
        ("vgg11", 10, 0),
        ("vit_tiny_patch16_224", 12, 0),
        pytest.param("inception_v3", 94, 0, marks=pytest.mark.slow),
    ],
)
def test_every_activation_outside_of_gates_is_replaced(name: str, swapped: int, kept: int) -> None:
    with torch.device("meta"):
        network = timm.create_model(name)
    assert swap_activations(network, Mish()) == swapped
    assert sum(isinstance(module, nn.Mish) for module in network.modules()) == swapped
    calls = record(network)
    inside = {
        call.module
        for call in gates(calls)
        if isinstance(call.module, nn.ReLU | nn.SiLU | nn.Hardswish)
    }
    assert len(inside) == kept


def test_an_activation_that_computes_the_same_is_kept() -> None:
    network = timm.create_model("vit_tiny_patch16_224", depth=1)
    assert swap_activations(network, Gelu()) == 0
    assert swap_activations(handmade(), Relu()) == 0
    assert swap_activations(handmade(), LeakyRelu(slope=0.0)) == 0


# Parts of a config.


def test_parts_change_no_name_and_no_initial_value() -> None:
    bare = build_network(TimmConfig(name=EVERYTHING.name, num_classes=3), seed=4)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    full = build_network(EVERYTHING, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    before, after = bare.state_dict(), full.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    added = after.keys() - before.keys()
    assert len(added) == 10 * 4
    assert all(".attention.fc" in name for name in added)
    again, changed = build_network(EVERYTHING, seed=4), build_network(EVERYTHING, seed=5)
    assert all(
        torch.equal(a, b) for a, b in zip(after.values(), again.state_dict().values(), strict=True)
    )
    name = next(name for name in added if name.endswith("fc1.weight"))
    assert not torch.equal(after[name], changed.state_dict()[name])
    alone = build_network(dataclasses.replace(EVERYTHING, activation=None, anti_alias=None), seed=4)
    assert torch.equal(after[name], alone.state_dict()[name])


def test_the_number_of_places_of_each_part() -> None:
    network = build_network(EVERYTHING, seed=0)
    assert sum(isinstance(module, SqueezeExcite2d) for module in network.modules()) == 10
    assert sum(isinstance(module, BlurPool2d) for module in network.modules()) == 4
    assert sum(isinstance(module, nn.SiLU) for module in network.modules()) == 35
    strided = [
        name
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d) and m.stride == (2, 2)
    ]
    assert strided == ["conv_stem"]


@pytest.mark.slow
def test_a_changed_network_is_one_graph_and_is_exported() -> None:
    network, batch = build_network(EVERYTHING, seed=0).train(), images(2, 3, 33)
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    compiled(batch).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    fill(network)
    with torch.no_grad():
        exported = torch.export.export(network, (batch,)).module()
        torch.testing.assert_close(exported(batch), network(batch))


def test_a_changed_network_trains_and_comes_back(tmp_path: Path) -> None:
    network = build_network(EVERYTHING, seed=0).train()
    batch = images(2, 3, 33)
    network(batch).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    groups = layer_groups(network)
    assert sorted(id(p) for group in groups for p in group) == sorted(
        id(p) for p in network.parameters()
    )
    fill(network)
    with torch.no_grad():
        expected = network(batch)
        assert torch.equal(copy.deepcopy(network)(batch), expected)
        save_weights(network, tmp_path / "w.safetensors", metadata_of(EVERYTHING))
        assert torch.equal(load(tmp_path / "w.safetensors")(batch), expected)
        last = network.to(memory_format=torch.channels_last)(
            batch.to(memory_format=torch.channels_last)
        )
        torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-4)


# Networks without a place.


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("densenet121", "se", "it has no residual branches"),
        ("mobilenetv3_small_050", "se", "it has gates over channels or pixels of its own"),
        (
            "convnext_atto",
            "se",
            r"12 of its 12 residual branches end in Conv2d, not in a normalisation with a scale",
        ),
        (
            "vit_tiny_patch16_224",
            "se",
            r"24 of its 24 residual branches end in Linear, not in a normalisation",
        ),
        ("swinv2_tiny_window8_256", "se", r"no map \(N, C, H, W\) that is normalised by channel"),
        ("vgg11", "branch", "nothing in it skips pixels in branch, but in stem$"),
        ("resnetblur50", "branch", "nothing in it skips pixels in branch, but in shortcut$"),
        (
            "convnext_atto",
            "branch",
            "in branch, as the windows of its strided convolutions do not overlap$",
        ),
        ("res2net50_26w_4s", "branch", "it calls one ReLU at several places"),
    ],
)
def test_the_error_says_why_there_is_no_place(name: str, change: str, says: str) -> None:
    with torch.device("meta"):
        network = timm.create_model(name)
    strides = [module.stride for module in network.modules() if isinstance(module, nn.Conv2d)]
    with pytest.raises(Unfit, match=says):
        _ = (
            add_attention(network, SqueezeExcitePart(), 0)
            if change == "se"
            else add_anti_alias(network, Blur())
        )
    assert [
        module.stride for module in network.modules() if isinstance(module, nn.Conv2d)
    ] == strides


def test_functions_called_without_a_module_are_refused() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 3, 1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.relu(self.act(self.conv(x)))

    with pytest.raises(Unfit, match="Functional of it call their activation without a module"):
        swap_activations(Functional(), Silu())
    with pytest.raises(Unfit, match="it has no activation outside of gates"):
        swap_activations(nn.Sequential(nn.Conv2d(3, 3, 1)), Silu())


def test_a_stride_that_differs_between_directions_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3, stride=(1, 2)))
    with pytest.raises(Unfit, match="a stride of 1x2"):
        add_anti_alias(network, Blur())


def test_a_config_that_does_not_fit_names_its_setting() -> None:
    config = TimmConfig(name="convnext_atto", anti_alias=Blur(), num_classes=3)
    with pytest.raises(
        DoesNotApply,
        match=r"^model\.anti_alias = blur: timm:convnext_atto has no place for it: .*\. Leave the "
        r"slot empty: --set model\.anti_alias=none$",
    ):
        build_network(config, seed=0)


def test_named_networks_take_parts() -> None:
    config = model_config("inception_v3")
    assert isinstance(config, TimmConfig)
    changed = dataclasses.replace(config, num_classes=2, anti_alias=Blur(places=("branch", "stem")))
    with torch.device("meta"):
        network = build_network(changed, seed=0)
        assert network.eval()(torch.empty(1, 3, 299, 299)).shape == (1, 2)
    assert sum(isinstance(module, BlurPool2d) for module in network.modules()) == 6
