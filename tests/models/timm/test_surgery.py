"""Parts put into networks of timm: equal to networks that have them by themselves, at their places
and no others."""

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
from trickbag.models.timm.residual_branches import Unfit, gates, last_norms, residuals
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


class Block(nn.Module):
    """A residual block as anybody might write it, with names that say nothing."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(channels, width, 3, stride=stride, padding=1)
        self.b = nn.BatchNorm2d(width)
        self.c = nn.ReLU(inplace=True)
        self.d = nn.Conv2d(width, width, 3, padding=1)
        self.e = nn.BatchNorm2d(width)
        self.f = nn.Sequential() if stride == 1 else nn.Conv2d(channels, width, 1, stride=stride)
        self.g = nn.ReLU()
        self.h = nn.Conv2d(width, 2, 1)
        self.i = nn.ReLU()
        self.j = nn.Conv2d(2, width, 1)
        self.gated = False

    def forward(self, x: Tensor) -> Tensor:
        y = self.e(self.d(self.c(self.b(self.a(x)))))
        if self.gated:
            y = y * self.j(self.i(self.h(y.mean((2, 3), keepdim=True)))).sigmoid()
        y += self.f(x)
        return self.g(y)


class Network(nn.Module):
    """A stem, two blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.one = nn.MaxPool2d(3, 2, 1)
        self.two = nn.ModuleList([Block(4, 4, 1), Block(4, 8, 2)])
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(self.zero(x))
        for block in self.two:
            x = block(x)
        return self.last(x.mean((2, 3)))


def network(*, gated: bool = False) -> Any:
    made: Any = fill(Network())
    for block in made.two:
        block.gated = gated
    return made


# What a network computes.


def test_steps_are_in_order_and_linked() -> None:
    made = network().train()
    steps = record(made)
    assert [step.place for step in steps] == list(range(len(steps)))
    assert all(
        source.place < step.place and step in source.users
        for step in steps
        for source in step.inputs
    )
    kinds = [type(step.module).__name__ for step in steps]
    assert kinds[:6] == ["NoneType", "Conv2d", "MaxPool2d", "Conv2d", "BatchNorm2d", "ReLU"]
    assert steps[0].shape == (1, 3, 224, 224)
    assert steps[-1].shape == (1, 3)
    assert made.training
    assert made.two[0].b.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in made.modules())
    assert made.zero.weight.device.type == "cpu"


def test_residual_branches_are_found_by_what_is_computed() -> None:
    made = network()
    found = residuals(record(made))
    assert [residual.end.module for residual in found] == [block.e for block in made.two]
    assert [{step.module for step in residual.shortcut} for residual in found] == [
        set(),
        {made.two[1].f},
    ]
    assert [step.module for step in last_norms(record(made))] == [block.e for block in made.two]


def test_gates_are_found_and_are_no_end_of_a_branch() -> None:
    made = network(gated=True)
    steps = record(made)
    assert {step.module for step in gates(steps)} >= {m for b in made.two for m in (b.h, b.i, b.j)}
    assert not {step.module for step in gates(steps)} & {
        m for b in made.two for m in (b.c, b.e, b.g)
    }
    assert [step.module for step in last_norms(steps)] == [block.e for block in made.two]


@pytest.mark.parametrize(
    ("name", "branches", "shortcuts"),
    [
        ("resnet18", 8, 3),
        ("resnet50d", 16, 4),
        ("mobilenetv2_050", 10, 0),
        ("mobilenetv3_small_050", 7, 0),
        ("tf_efficientnet_b0", 9, 0),
        ("regnetx_002", 13, 4),
        ("densenet121", 0, 0),
        ("vgg11", 0, 0),
        ("convnext_atto", 12, 0),
        ("vit_tiny_patch16_224", 24, 0),
        ("resnetv2_50", 16, 4),
    ],
)
def test_residual_branches_of_known_networks(name: str, branches: int, shortcuts: int) -> None:
    with torch.device("meta"):
        found = residuals(record(timm.create_model(name)))
    assert len(found) == branches
    assert (
        sum(any(isinstance(s.module, nn.Conv2d) for s in residual.shortcut) for residual in found)
        == shortcuts
    )


def test_parallel_convolutions_are_no_residual_branch() -> None:
    class Parallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + self.b(x) + x.mean()

    assert residuals(record(Parallel())) == []


# Equal to networks that have the part by themselves.

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
def test_a_timm_network_with_a_part_is_ours_with_it(name: str, parts: dict[str, Any]) -> None:
    ours = fill(build_network(ResNetConfig(**OURS[name], **parts, num_classes=5), seed=0)).double()
    theirs = build_network(TimmConfig(name=name, **parts, num_classes=5), seed=0).eval().double()
    # By their order: a blur before the convolution of a shortcut moves its name in our networks,
    # but not in timm's.
    theirs.load_state_dict(
        dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)), strict=True
    )
    for size in (64, 75):
        batch = images(2, 3, size).double()
        with torch.no_grad():
            expected, got = ours(batch), theirs(batch)
        assert (got - expected).abs().max() < 1e-9 * expected.std()


def test_squeeze_excitation_is_that_of_our_networks() -> None:
    ours = fill(
        build_network(
            ResNetConfig(depth=18, attention=SqueezeExcitePart(bias=False), num_classes=5), seed=0
        )
    )
    theirs = build_network(
        TimmConfig(name="resnet18", attention=SqueezeExcitePart(bias=False), num_classes=5), seed=0
    )
    weights = {
        name.replace(".se.", ".bn2.attention."): value for name, value in ours.state_dict().items()
    }
    theirs.eval().load_state_dict(weights, strict=True)
    batch = images(2, 3, 64)
    with torch.no_grad():
        expected, got = ours(batch), theirs(batch)
    assert (got - expected).abs().max() < 1e-5 * expected.std()


@pytest.mark.parametrize("name", ["resnetblur18", "seresnet18"])
def test_it_is_the_network_that_timm_has_by_itself(name: str) -> None:
    if name == "resnetblur18":
        parts: dict[str, Any] = {"anti_alias": Blur(places=("branch", "stem"))}
        theirs = fill(timm.create_model(name, num_classes=5))
    else:
        parts = {"attention": SqueezeExcitePart()}
        theirs = fill(timm.create_model(name, num_classes=5))
    ours = build_network(TimmConfig(name="resnet18", **parts, num_classes=5), seed=0).eval()
    state = {
        key.replace(".se.", ".bn2.attention."): value for key, value in theirs.state_dict().items()
    }
    ours.load_state_dict(state, strict=True)
    batch = images(2, 3, 64)
    with torch.no_grad():
        expected, got = theirs(batch), ours(batch)
    assert (got - expected).abs().max() < 1e-5 * expected.std()


# Against networks built by hand.


def test_the_blur_takes_over_a_stride_after_norm_and_activation() -> None:
    made = network()
    before = copy.deepcopy(made)
    assert add_anti_alias(made, Blur(size=3)) == 1
    block, plain_block = made.two[1], before.two[1]
    x = torch.rand(2, 4, 9, 9)
    blur = BlurPool2d(8, size=3, stride=2)
    with torch.no_grad():
        plain_block.a.stride = (1, 1)
        y = plain_block.e(plain_block.d(blur(plain_block.c(plain_block.b(plain_block.a(x))))))
        assert torch.equal(block(x), (y + plain_block.f(x)).relu())
    assert torch.equal(made.two[0](x), before.two[0](x))


def test_the_blur_precedes_a_shortcut_and_follows_a_dense_max_pool() -> None:
    made = network()
    before = copy.deepcopy(made)
    assert add_anti_alias(made, Blur(places=("shortcut", "stem"))) == 2
    block, plain_block = made.two[1], before.two[1]
    x = torch.rand(2, 4, 9, 9)
    with torch.no_grad():
        y = plain_block.e(plain_block.d(plain_block.c(plain_block.b(plain_block.a(x)))))
        plain_block.f.stride = (1, 1)
        assert torch.equal(block(x), (y + plain_block.f(BlurPool2d(4)(x))).relu())
        assert torch.equal(made.one(x), BlurPool2d(4)(nn.functional.max_pool2d(x, 3, 1, 1)))


def test_gates_stand_behind_the_last_normalisation() -> None:
    made = network()
    before = copy.deepcopy(made)
    assert add_attention(made, SqueezeExcitePart(reduction=2), seed=0) == 2
    block, plain_block = made.two[0], before.two[0]
    x = torch.rand(2, 4, 9, 9)
    with torch.no_grad():
        y = plain_block.e(plain_block.d(plain_block.c(plain_block.b(plain_block.a(x)))))
        gate = (
            block.e.attention.fc2(block.e.attention.fc1(y.mean((2, 3), keepdim=True)).relu())
        ).sigmoid()
        torch.testing.assert_close(block(x), (y * gate + x).relu())


def test_activations_of_gates_stay() -> None:
    made = network(gated=True)
    assert swap_activations(made, Silu()) == 4
    assert [type(m) for block in made.two for m in (block.c, block.g, block.i)] == [
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
def test_number_of_activations(name: str, swapped: int, kept: int) -> None:
    with torch.device("meta"):
        made = timm.create_model(name)
    assert swap_activations(made, Mish()) == swapped
    assert sum(isinstance(module, nn.Mish) for module in made.modules()) == swapped
    steps = record(made)
    inside = {
        step.module
        for step in gates(steps)
        if isinstance(step.module, nn.ReLU | nn.SiLU | nn.Hardswish)
    }
    assert len(inside) == kept


def test_what_computes_the_same_is_left() -> None:
    made = timm.create_model("vit_tiny_patch16_224", depth=1)
    assert swap_activations(made, Gelu()) == 0
    assert swap_activations(network(), Relu()) == 0
    assert swap_activations(network(), LeakyRelu(slope=0.0)) == 0


# As part of a config.


def test_what_was_there_keeps_its_names_and_values() -> None:
    bare = build_network(TimmConfig(name=EVERYTHING.name, num_classes=3), seed=4)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    full = build_network(EVERYTHING, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    one, other = bare.state_dict(), full.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    added = other.keys() - one.keys()
    assert len(added) == 10 * 4
    assert all(".attention.fc" in name for name in added)
    again, changed = build_network(EVERYTHING, seed=4), build_network(EVERYTHING, seed=5)
    assert all(
        torch.equal(a, b) for a, b in zip(other.values(), again.state_dict().values(), strict=True)
    )
    name = next(name for name in added if name.endswith("fc1.weight"))
    assert not torch.equal(other[name], changed.state_dict()[name])
    alone = build_network(dataclasses.replace(EVERYTHING, activation=None, anti_alias=None), seed=4)
    assert torch.equal(other[name], alone.state_dict()[name])


def test_parts_are_at_their_places() -> None:
    made = build_network(EVERYTHING, seed=0)
    assert sum(isinstance(module, SqueezeExcite2d) for module in made.modules()) == 10
    assert sum(isinstance(module, BlurPool2d) for module in made.modules()) == 4
    assert sum(isinstance(module, nn.SiLU) for module in made.modules()) == 35
    strided = [
        name for name, m in made.named_modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)
    ]
    assert strided == ["conv_stem"]


@pytest.mark.slow
def test_a_changed_network_is_one_graph_and_is_exported() -> None:
    made, batch = build_network(EVERYTHING, seed=0).train(), images(2, 3, 33)
    torch.compiler.reset()
    compiled = torch.compile(made, fullgraph=True, backend="eager")
    compiled(batch).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())
    fill(made)
    with torch.no_grad():
        exported = torch.export.export(made, (batch,)).module()
        torch.testing.assert_close(exported(batch), made(batch))


def test_a_changed_network_trains_and_comes_back(tmp_path: Path) -> None:
    made = build_network(EVERYTHING, seed=0).train()
    batch = images(2, 3, 33)
    made(batch).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())
    groups = layer_groups(made)
    assert sorted(id(p) for group in groups for p in group) == sorted(
        id(p) for p in made.parameters()
    )
    fill(made)
    with torch.no_grad():
        expected = made(batch)
        assert torch.equal(copy.deepcopy(made)(batch), expected)
        save_weights(made, tmp_path / "w.safetensors", metadata_of(EVERYTHING))
        assert torch.equal(load(tmp_path / "w.safetensors")(batch), expected)
        last = made.to(memory_format=torch.channels_last)(
            batch.to(memory_format=torch.channels_last)
        )
        torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-4)


# What has no place.


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
def test_networks_without_a_place_say_why(name: str, change: str, says: str) -> None:
    with torch.device("meta"):
        made = timm.create_model(name)
    strides = [module.stride for module in made.modules() if isinstance(module, nn.Conv2d)]
    with pytest.raises(Unfit, match=says):
        _ = (
            add_attention(made, SqueezeExcitePart(), 0)
            if change == "se"
            else add_anti_alias(made, Blur())
        )
    assert [module.stride for module in made.modules() if isinstance(module, nn.Conv2d)] == strides


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
    made = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3, stride=(1, 2)))
    with pytest.raises(Unfit, match="a stride of 1x2"):
        add_anti_alias(made, Blur())


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
        made = build_network(changed, seed=0)
        assert made.eval()(torch.empty(1, 3, 299, 299)).shape == (1, 2)
    assert sum(isinstance(module, BlurPool2d) for module in made.modules()) == 6
