"""Gradient checkpointing: less memory, and otherwise nothing changes, running statistics
included."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from tests.models.random_weights import fill, images
from trickbag.errors import UserError
from trickbag.models import build_network, create_model
from trickbag.models.config import (
    BigLittleConfig,
    MobileNetConfig,
    ModelConfig,
    ResNetConfig,
    model_config,
)
from trickbag.models.gradient_checkpointing import enable_gradient_checkpointing
from trickbag.models.layer_streams import LayerStreams
from trickbag.models.parts import AssembleKernel, Blur, DropBlockPart

THIN: dict[str, ModelConfig] = {
    "resnet": ResNetConfig(
        depth=18, width_factor=0.25, stochastic_depth=0.3, drop=DropBlockPart(keep_prob=0.5)
    ),
    "assemble": BigLittleConfig(
        width_factor=0.25,
        depth_factor=0.5,
        selective_kernel=AssembleKernel(),
        anti_alias=Blur(),
        drop=DropBlockPart(),
    ),
    "mobilenet": MobileNetConfig(width_factor=0.5),
    "timm": model_config("timm:resnet18d"),
}


def built(family: str) -> tuple[nn.Module, nn.Module]:
    """A network as it is, and the same one that computes anew."""
    config = dataclasses.replace(THIN[family], num_classes=3)
    network = fill(build_network(config, seed=0)).train()
    for module in network.modules():
        if type(module).__name__ == "DropBlock2d":
            module.keep_prob.fill_(0.7)
    other = copy.deepcopy(network)
    enable_gradient_checkpointing(other)
    return network, other


def stepped(network: nn.Module, x: torch.Tensor, passes: int = 2) -> dict[str, torch.Tensor]:
    """Forward and backward a few times with the same random draws; return gradients and buffers."""
    torch.manual_seed(3)
    for _ in range(passes):
        nn.functional.cross_entropy(network(x), torch.tensor([0, 1, 2, 0])).backward()
    return {f"grad {name}": p.grad for name, p in network.named_parameters()} | dict(
        network.named_buffers()
    )


@pytest.mark.parametrize("family", THIN)
def test_gradients_and_running_statistics_are_the_same_to_the_bit(family):
    one, other = (stepped(network, images(4, 3, 40)) for network in built(family))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    counters = [value for name, value in other.items() if name.endswith("num_batches_tracked")]
    assert {int(value) for value in counters} == {2}


@pytest.mark.parametrize("family", THIN)
def test_evaluation_uses_the_running_statistics(family):
    one, other = (network.eval() for network in built(family))
    x = images(2, 3, 33).requires_grad_()
    with torch.no_grad():
        assert torch.equal(one(x), other(x))
    for network in (one, other):
        network(x).sum().backward()
    assert all(m.track_running_stats for m in other.modules() if isinstance(m, nn.BatchNorm2d))
    buffers = zip(one.named_buffers(), other.named_buffers(), strict=True)
    assert all(torch.equal(a, b) for (_, a), (_, b) in buffers)


def saved_bytes(network: nn.Module, x: torch.Tensor) -> int:
    """The bytes of the tensors that a forward pass keeps for the backward pass, parameters left
    out."""
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in (*network.parameters(), *network.buffers())}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = network(x).sum()
    total = sum(kept.values())
    loss.backward()
    return total


@pytest.mark.parametrize("family", THIN)
def test_less_is_kept_in_memory(family):
    one, other = (saved_bytes(network, images(4, 3, 64)) for network in built(family))
    # Of a block its input alone is kept; the stem, much of the memory of networks so thin, is as it
    # was.
    assert other < 0.75 * one


@pytest.mark.parametrize(
    "family",
    [
        "resnet",
        *(pytest.param(family, marks=pytest.mark.slow) for family in ("mobilenet", "assemble")),
    ],
)
def test_compiled_it_is_one_graph_and_the_same(family):
    one, other = built(family)
    for network in (one, other):  # from torch's generator a compiled network draws other numbers
        LayerStreams(network, (3, 40, 40)).begin(0, 0, 0, 0)
    torch.compiler.reset()
    compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
    expected = stepped(one, images(4, 3, 40))
    torch.manual_seed(3)
    for _ in range(2):
        nn.functional.cross_entropy(
            compiled(images(4, 3, 40)), torch.tensor([0, 1, 2, 0])
        ).backward()
    got = {f"grad {name}": p.grad for name, p in other.named_parameters()} | dict(
        other.named_buffers()
    )
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("network", [nn.Linear(2, 2), "timm:vgg11"])
def test_networks_that_cannot_say_so(network):
    if isinstance(network, str):
        with torch.device("meta"):
            network = create_model(network)
    with pytest.raises(
        UserError, match=rf"gradient_checkpointing = True: {type(network).__name__} has no blocks"
    ):
        enable_gradient_checkpointing(network)
