"""What every family of networks does, shown on its thinnest member: precision, layout, sizes, compilation, export."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from tests.models.random_weights import fill, images
from trickbag.models import build_network
from trickbag.models.config import ModelConfig, ResNetConfig, model_config
from trickbag.models.parts import AssembleKernel, AveragePool, Blur, OriginalKernel, Silu, SplitKernel, SqueezeExcite

THIN: dict[str, ModelConfig] = {
    "se": ResNetConfig(depth=18, attention=SqueezeExcite()),
    "sk split": ResNetConfig(depth=18, selective_kernel=SplitKernel()),
    "sk original": ResNetConfig(depth=18, selective_kernel=OriginalKernel()),
    "sk assemble": ResNetConfig(depth=18, selective_kernel=AssembleKernel()),
    "blur": ResNetConfig(depth=18, anti_alias=Blur(places=("branch", "shortcut", "stem"))),
    "average pool": ResNetConfig(depth=18, anti_alias=AveragePool(), stem="deep", shortcut="avg_pool"),
    "silu": ResNetConfig(depth=18, activation=Silu()),
    "tensorflow": ResNetConfig(depth=18, pooling="tensorflow", shortcut="avg_pool", stem="deep"),
    "resnext": ResNetConfig(cardinality=32, base_width=1),
    "assemble": model_config("assemble_resnet50"),
}


def build(family: str, in_channels: int = 3) -> nn.Module:
    return build_network(dataclasses.replace(THIN[family], num_classes=3, in_channels=in_channels), seed=0)


@pytest.mark.parametrize("family", THIN)
def test_training_in_bf16(family):
    network = build(family).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images(4, 3, 48))
    nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1, 2, 0])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert any(m.running_mean.any() for m in network.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("family", THIN)
def test_batches_and_layouts_give_the_same_logits(family):
    network = fill(build(family)).double()
    x = images(3, 3, 45).double()
    with torch.no_grad():
        expected = network(x)
        one_by_one = torch.cat([network(image[None]) for image in x])
        last = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    for got in (one_by_one, last):
        assert (got - expected).abs().max() < 1e-9 * expected.std()


@pytest.mark.parametrize("family", ["sk assemble", "blur", "assemble"])
@pytest.mark.parametrize("in_channels", [1, 4])
def test_other_numbers_of_channels(family, in_channels):
    with torch.no_grad():
        assert build(family, in_channels).eval()(images(2, in_channels, 33)).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["se", "sk assemble", "blur", "tensorflow"])
def test_training_is_one_graph(family):
    network = build(family).train()
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    compiled(images(2, 3, 32)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sk split", "blur", "tensorflow", "assemble"])
def test_export_for_any_number_of_images(family):
    network = build(family).eval()
    x = images(5, 3, 32, seed=7)
    with torch.no_grad():
        exported = torch.export.export(network, (x[:2],), dynamic_shapes=({0: torch.export.Dim("n")},)).module()
        torch.testing.assert_close(exported(x), network(x))
