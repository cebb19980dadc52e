"""Streams of layers: each depends on the layer's name alone, compiled or not."""

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


def built(config: ModelConfig) -> tuple[nn.Module, LayerStreams]:
    network = fill(build_network(config, seed=0)).train()
    return network, LayerStreams(network, (3, SIZE, SIZE))


def masks(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the output of each seeded layer for ones, in a pass over images."""
    masks_by_layer: dict[str, Tensor] = {}
    handles = []
    for name, layer in network.named_modules():
        if isinstance(layer, SeededLayer):

            def keep(
                layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name
            ) -> None:
                masks_by_layer[name] = layer.forward(torch.ones_like(inputs[0]))

            handles.append(layer.register_forward_hook(keep))
    network(x)
    for handle in handles:
        handle.remove()
    return masks_by_layer


@pytest.mark.parametrize("left_out", list(ALL))
def test_a_layer_that_is_left_out_changes_no_other_draws(left_out: str) -> None:
    x = images(4, 3, SIZE)
    network, streams = built(dataclasses.replace(THIN, **ALL))
    reduced, others = built(
        dataclasses.replace(
            THIN, **{name: value for name, value in ALL.items() if name != left_out}
        )
    )
    for step in range(2):
        streams.begin(0, 0, step, 0)
        others.begin(0, 0, step, 0)
        expected, got = masks(network, x), masks(reduced, x)
        assert 0 < len(got) < len(expected)
        assert all(torch.equal(expected[name], got[name]) for name in got)
    assert any((mask == 0).any() for mask in got.values())


def test_a_draw_is_a_function_of_seed_epoch_step_and_part() -> None:
    network, streams = built(dataclasses.replace(THIN, **ALL))
    x = images(4, 3, SIZE)

    def draws_at(*place: int) -> dict[str, Tensor]:
        streams.begin(*place)
        return masks(network, x)

    first = draws_at(0, 1, 2, 0)
    draws_at(0, 0, 0, 0)
    again = draws_at(0, 1, 2, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for place in ((1, 1, 2, 0), (0, 0, 2, 0), (0, 1, 3, 0), (0, 1, 2, 1)):
        other = draws_at(*place)
        assert [name for name in first if not torch.equal(first[name], other[name])], place
        assert not torch.equal(first["head_drop"], other["head_drop"])


def test_layers_of_one_shape_draw_differently() -> None:
    network, streams = built(dataclasses.replace(THIN, drop=ALL["drop"]))
    streams.begin(0, 0, 0, 0)
    masks_by_layer = masks(network, images(2, 3, SIZE))
    assert not torch.equal(masks_by_layer["layer3.1.drop1"], masks_by_layer["layer3.1.drop2"])


def stepped(network: nn.Module, streams: LayerStreams, forward: Any = None) -> list[Tensor]:
    for step in range(2):
        streams.begin(0, 0, step, 0)
        logits = (network if forward is None else forward)(images(4, 3, SIZE))
        functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    return [p.grad for p in network.parameters() if p.grad is not None]


@pytest.mark.slow
def test_a_compiled_network_is_one_graph_with_the_same_draws() -> None:
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
    for expected_grad, got_grad in zip(expected, got, strict=True):
        torch.testing.assert_close(got_grad, expected_grad)


def test_a_pass_that_is_computed_again_draws_the_same() -> None:
    config = dataclasses.replace(THIN, **ALL)
    expected = stepped(*built(config))
    network, streams = built(config)
    enable_gradient_checkpointing(network)
    assert all(map(torch.equal, expected, stepped(network, streams)))


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
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
    reduced = build_network(dataclasses.replace(config, dropout=0.0), seed=0).train()
    others = LayerStreams(reduced, (3, SIZE, SIZE))
    for each in (streams, others):
        each.begin(0, 0, 0, 0)
    expected, got = masks(network, images(4, 3, SIZE)), masks(reduced, images(4, 3, SIZE))
    assert len(got) == 11
    assert all(torch.equal(expected[name], got[name]) for name in got)
    assert not [name for name in network.state_dict() if "seed" in name]


def test_layers_called_twice_and_functions_draw_from_torchs_generator() -> None:
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


def test_evaluation_and_functions_without_a_seed_do_not_change() -> None:
    network, streams = built(dataclasses.replace(THIN, **ALL))
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
