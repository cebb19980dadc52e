"""Gradient checkpointing: less memory, the same gradients and running statistics."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from tests.builders.marks import long
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
    """Return a network, and a copy of it with gradient checkpointing."""
    config = dataclasses.replace(THIN[family], num_classes=3)
    network = fill(build_network(config, seed=0)).train()
    for module in network.modules():
        if type(module).__name__ == "DropBlock2d":
            module.keep_prob.fill_(0.7)
    recomputed = copy.deepcopy(network)
    enable_gradient_checkpointing(recomputed)
    return network, recomputed


def stepped(network: nn.Module, x: torch.Tensor, passes: int = 2) -> dict[str, torch.Tensor]:
    """Run some passes with the same random draws; return gradients and buffers by name."""
    torch.manual_seed(3)
    for _ in range(passes):
        nn.functional.cross_entropy(network(x), torch.tensor([0, 1, 2, 0])).backward()
    return {f"grad {name}": p.grad for name, p in network.named_parameters()} | dict(
        network.named_buffers()
    )


@pytest.mark.parametrize("family", THIN)
def test_gradients_and_running_statistics_are_the_same_to_the_bit(family):
    plain, recomputed = (stepped(network, images(4, 3, 40)) for network in built(family))
    assert plain.keys() == recomputed.keys()
    assert [name for name in plain if not torch.equal(plain[name], recomputed[name])] == []
    counters = [value for name, value in recomputed.items() if name.endswith("num_batches_tracked")]
    assert {int(value) for value in counters} == {2}


@pytest.mark.parametrize("family", THIN)
def test_evaluation_uses_the_running_statistics(family):
    plain, recomputed = (network.eval() for network in built(family))
    x = images(2, 3, 33).requires_grad_()
    with torch.no_grad():
        assert torch.equal(plain(x), recomputed(x))
    for network in (plain, recomputed):
        network(x).sum().backward()
    assert all(m.track_running_stats for m in recomputed.modules() if isinstance(m, nn.BatchNorm2d))
    buffers = zip(plain.named_buffers(), recomputed.named_buffers(), strict=True)
    assert all(torch.equal(a, b) for (_, a), (_, b) in buffers)


def saved_bytes(network: nn.Module, x: torch.Tensor) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, without parameters."""
    kept: dict[int, int] = {}
    parameters = {
        p.untyped_storage().data_ptr() for p in (*network.parameters(), *network.buffers())
    }

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = network(x).sum()
    total = sum(kept.values())
    loss.backward()
    return total


@pytest.mark.parametrize("family", THIN)
def test_less_memory_is_kept(family):
    plain, recomputed = (saved_bytes(network, images(4, 3, 64)) for network in built(family))
    # Only the input of each block is kept; the stem, which takes much of the memory of such thin
    # networks, does not change.
    assert recomputed < 0.75 * plain


@pytest.mark.slow
@pytest.mark.parametrize("family", ["resnet", "mobilenet", long("assemble")])
def test_a_compiled_network_is_one_graph_with_the_same_gradients(family):
    plain, recomputed = built(family)
    # From torch's generator a compiled network would draw other numbers.
    for network in (plain, recomputed):
        LayerStreams(network, (3, 40, 40)).begin(0, 0, 0, 0)
    torch.compiler.reset()
    compiled = torch.compile(recomputed, fullgraph=True, backend="aot_eager")
    expected = stepped(plain, images(4, 3, 40))
    torch.manual_seed(3)
    for _ in range(2):
        nn.functional.cross_entropy(
            compiled(images(4, 3, 40)), torch.tensor([0, 1, 2, 0])
        ).backward()
    got = {f"grad {name}": p.grad for name, p in recomputed.named_parameters()} | dict(
        recomputed.named_buffers()
    )
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("network", [nn.Linear(2, 2), "timm:vgg11"])
def test_networks_without_blocks_are_refused(network):
    if isinstance(network, str):
        with torch.device("meta"):
            network = create_model(network)
    with pytest.raises(
        UserError, match=rf"gradient_checkpointing = True: {type(network).__name__} has no blocks"
    ):
        enable_gradient_checkpointing(network)
