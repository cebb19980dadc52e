"""Each layer that draws has a stream of its own: by its name, whatever else draws, compiled or
not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional

from tests.models.random_weights import fill, images
from trickbag.models import build_network
from trickbag.models.config import ModelConfig, ResNetConfig, TimmConfig
from trickbag.models.gradient_checkpointing import enable_gradient_checkpointing
from trickbag.models.layer_streams import LayerStreams
from trickbag.models.layers.drop import (
    DropBlock2d,
    DropPath,
    SeededDropout,
    dropout,
    stochastic_depth,
)
from trickbag.models.layers.seeded import SeededLayer
from trickbag.models.parts import DropBlockPart

SIZE = 32
ALL: dict[str, Any] = {
    "dropout": 0.3,
    "stochastic_depth": 0.4,
    "drop": DropBlockPart(keep_prob=0.7, block_size=2),
}
THIN = ResNetConfig(depth=18, width_factor=0.25, num_classes=3, stem="small_s2")


def made(config: ModelConfig) -> tuple[nn.Module, LayerStreams]:
    network = fill(build_network(config, seed=0)).train()
    return network, LayerStreams(network, (3, SIZE, SIZE))


def masks(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each layer that draws makes of ones, in a pass over images."""
    found: dict[str, Tensor] = {}
    handles = []
    for name, layer in network.named_modules():
        if isinstance(layer, SeededLayer):

            def keep(
                layer: nn.Module, given: tuple[Tensor, ...], out: Tensor, name: str = name
            ) -> None:
                found[name] = layer.forward(torch.ones_like(given[0]))

            handles.append(layer.register_forward_hook(keep))
    network(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("left_out", list(ALL))
def test_what_is_left_out_leaves_the_draws_of_the_rest(left_out: str) -> None:
    x = images(4, 3, SIZE)
    whole, streams = made(dataclasses.replace(THIN, **ALL))
    rest, others = made(
        dataclasses.replace(
            THIN, **{name: value for name, value in ALL.items() if name != left_out}
        )
    )
    for step in range(2):
        streams.begin(0, 0, step, 0)
        others.begin(0, 0, step, 0)
        one, other = masks(whole, x), masks(rest, x)
        assert 0 < len(other) < len(one)
        assert all(torch.equal(one[name], other[name]) for name in other)
    assert any((mask == 0).any() for mask in other.values())


def test_a_draw_is_a_function_of_its_place() -> None:
    network, streams = made(dataclasses.replace(THIN, **ALL))
    x = images(4, 3, SIZE)

    def at(*place: int) -> dict[str, Tensor]:
        streams.begin(*place)
        return masks(network, x)

    first = at(0, 1, 2, 0)
    at(0, 0, 0, 0)
    again = at(0, 1, 2, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for place in ((1, 1, 2, 0), (0, 0, 2, 0), (0, 1, 3, 0), (0, 1, 2, 1)):
        other = at(*place)
        assert [name for name in first if not torch.equal(first[name], other[name])], place
        assert not torch.equal(first["head_drop"], other["head_drop"])


def test_layers_of_one_shape_draw_differently() -> None:
    network, streams = made(dataclasses.replace(THIN, drop=ALL["drop"]))
    streams.begin(0, 0, 0, 0)
    found = masks(network, images(2, 3, SIZE))
    assert not torch.equal(found["layer3.1.drop1"], found["layer3.1.drop2"])


def stepped(network: nn.Module, streams: LayerStreams, forward: Any = None) -> list[Tensor]:
    for step in range(2):
        streams.begin(0, 0, step, 0)
        logits = (network if forward is None else forward)(images(4, 3, SIZE))
        functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    return [p.grad for p in network.parameters() if p.grad is not None]


def test_compiled_it_is_one_graph_with_the_same_draws() -> None:
    def thin() -> tuple[nn.Module, LayerStreams]:
        drops = (
            DropBlock2d(0.7, 2),
            nn.Conv2d(4, 4, 3),
            DropPath(0.5),
            nn.Flatten(),
            nn.Dropout(0.5),
        )
        network = fill(
            nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), *drops, nn.Linear(4 * 6 * 6, 3))
        ).train()
        return network, LayerStreams(network, (3, SIZE, SIZE))

    expected = stepped(*thin())
    network, streams = thin()
    torch.compiler.reset()
    backend = CompileCounterWithBackend("aot_eager")
    got = stepped(
        network, streams, torch.compile(network, fullgraph=True, backend=backend, dynamic=False)
    )
    assert backend.frame_count == 1
    for one, other in zip(expected, got, strict=True):
        torch.testing.assert_close(other, one)


def test_computed_anew_it_draws_the_same() -> None:
    config = dataclasses.replace(THIN, **ALL)
    expected = stepped(*made(config))
    network, streams = made(config)
    enable_gradient_checkpointing(network)
    assert all(
        torch.equal(one, two) for one, two in zip(expected, stepped(network, streams), strict=True)
    )


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "anew"])
def test_layers_of_timm_draw_from_streams_too(recompute: bool) -> None:
    config = TimmConfig(name="convnext_atto", num_classes=3, dropout=0.5, stochastic_depth=0.4)
    network = build_network(config, seed=0).train()
    if recompute:
        enable_gradient_checkpointing(network)
    streams = LayerStreams(network, (3, SIZE, SIZE))
    kinds = [type(m) for m in network.modules() if isinstance(m, SeededLayer)]
    # The first block's probability is 0.
    assert (kinds.count(DropPath), kinds.count(SeededDropout)) == (11, 1)
    assert network.training
    rest = build_network(dataclasses.replace(config, dropout=0.0), seed=0).train()
    others = LayerStreams(rest, (3, SIZE, SIZE))
    for each in (streams, others):
        each.begin(0, 0, 0, 0)
    one, other = masks(network, images(4, 3, SIZE)), masks(rest, images(4, 3, SIZE))
    assert len(other) == 11
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert not [name for name in network.state_dict() if "seed" in name]


def test_what_is_called_twice_or_without_a_module_draws_from_torchs_generator() -> None:
    mixer = build_network(
        TimmConfig(name="mixer_s32_224", num_classes=3, stochastic_depth=0.4), seed=0
    )
    LayerStreams(mixer, (3, 224, 224))
    assert not [m for m in mixer.modules() if isinstance(m, SeededLayer)]
    # timm's ResNet calls dropout as a function, and stochastic depth as a module.
    network = build_network(
        TimmConfig(name="resnet10t", num_classes=3, dropout=0.5, stochastic_depth=0.5), seed=0
    )
    streams = LayerStreams(network.train(), (3, SIZE, SIZE))
    assert len([m for m in network.modules() if isinstance(m, SeededLayer)]) == 3
    logits = []
    for step in (0, 0, 1):
        streams.begin(0, 0, step, 0)
        logits.append(network(images(4, 3, SIZE)))
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def test_evaluation_and_a_strangers_loop_are_as_they_were() -> None:
    network, streams = made(dataclasses.replace(THIN, **ALL))
    plain = fill(build_network(dataclasses.replace(THIN, **ALL), seed=0))
    streams.begin(0, 0, 0, 0)
    x = images(2, 3, SIZE)
    assert torch.equal(network.eval()(x), plain.eval()(x))
    assert network.state_dict().keys() == plain.state_dict().keys()
    torch.manual_seed(0)
    expected = functional.dropout(x, 0.3)
    torch.manual_seed(0)
    assert torch.equal(dropout(x, 0.3), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_drops_from_a_seed_keep_the_mean_and_the_type(dtype: torch.dtype) -> None:
    seed = torch.tensor(7)
    for out in (
        dropout(torch.ones(200, 400, dtype=dtype), 0.3, seed=seed),
        stochastic_depth(torch.ones(40_000, 2, 1, 1, dtype=dtype), 0.3, seed=seed),
    ):
        assert out.dtype == dtype
        assert float((out != 0).double().mean()) == pytest.approx(0.7, abs=0.01)
        assert set(out.unique().tolist()) == {0.0, float(torch.tensor(1, dtype=dtype) / 0.7)}
