"""DropBlock, stochastic depth and dropout, compared with the original code, torchvision and sums by
hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision import ops

from tests.models.official.originals import tensor, vector
from trickbag.models.config import BigLittleConfig, ResNetConfig
from trickbag.models.layers.drop import (
    DropBlock2d,
    DropPath,
    drop_block,
    drop_blocks_at,
    seed_probability,
    stochastic_depth,
)
from trickbag.models.parts import AssembleKernel, DropBlockPart
from trickbag.models.zoo import raw_network


@pytest.mark.parametrize("name", ["db_h14_b7", "db_h7_b7", "db_h8_b7", "db_h16_b7", "db_h9_b4"])
def test_given_seeds_drop_what_the_original_drops(name: str) -> None:
    facts, arrays = vector("units")
    x, seeds, out = (tensor(arrays[f"{name}_{part}"]) for part in ("in", "seedmask", "out"))
    block, height = facts[name]["block"], x.shape[2]
    torch.testing.assert_close(drop_blocks_at(x, seeds, block), out, rtol=1e-5, atol=1e-6)
    gamma = seed_probability(
        facts[name]["keep_prob"], block, height, height, facts[name]["gamma_scale"]
    )
    assert gamma == pytest.approx(facts[name]["gamma"], rel=1e-5)


def test_a_seed_is_the_corner_of_its_block() -> None:
    # By hand: blocks of 2 in a map of 3 x 4, two of which overlap.
    seeds = torch.zeros(1, 1, 2, 3)
    seeds[0, 0, 0, 0] = seeds[0, 0, 0, 1] = seeds[0, 0, 1, 2] = 1
    keep = torch.tensor([[0.0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]])
    x = torch.arange(1.0, 25.0).reshape(1, 2, 3, 4)
    torch.testing.assert_close(drop_blocks_at(x, seeds, 2), x * keep * 12 / 3)


def test_nothing_kept_is_zero_and_nothing_dropped_is_the_input() -> None:
    x = torch.randn(2, 3, 5, 5)
    assert not drop_blocks_at(x, torch.ones(1, 3, 3, 3), 3).any()
    assert torch.equal(drop_blocks_at(x, torch.zeros(1, 3, 3, 3), 3), x)
    assert torch.equal(drop_block(x, 1.0), x)


@pytest.mark.parametrize(
    ("height", "width", "block"), [(16, 16, 7), (9, 12, 4), (3, 5, 7), (1, 1, 7)]
)
def test_about_keep_prob_of_the_map_is_kept(height: int, width: int, block: int) -> None:
    torch.manual_seed(0)
    kept = drop_block(torch.ones(1, 4000, height, width), 0.95, block) > 0
    # Overlapping blocks count twice in gamma, so that a little more is kept.
    assert 0.945 < float(kept.double().mean()) < 0.965


@pytest.mark.parametrize("images", ["shared", "each"])
@pytest.mark.parametrize("channels", ["shared", "each"])
def test_masks_are_shared_by_images_and_channels(images: Any, channels: Any) -> None:
    torch.manual_seed(0)
    x = torch.ones(4, 6, 12, 12)
    kept = drop_block(x, 0.7, 3, images=images, channels=channels) > 0
    assert torch.equal(kept, kept[:1].expand_as(kept)) == (images == "shared")
    assert torch.equal(kept, kept[:, :1].expand_as(kept)) == (channels == "shared")
    # The mean over all is kept, whoever shares a mask.
    assert float(drop_block(x, 0.7, 3, images=images, channels=channels).mean()) == pytest.approx(
        1.0, rel=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_keeps_its_type_and_scale(dtype: torch.dtype) -> None:
    # 2 million values: float16 cannot hold their count.
    torch.manual_seed(0)
    out = drop_block(torch.ones(2, 512, 48, 48, dtype=dtype), 0.9, images="each")
    assert out.dtype == dtype
    assert float(out.float().mean()) == pytest.approx(1.0, rel=1e-2)


def test_drop_block_does_nothing_in_evaluation_and_has_no_weights() -> None:
    layer = DropBlock2d(0.5, 2).eval()
    x = torch.randn(2, 3, 4, 4)
    assert layer(x) is x
    assert not layer.state_dict()
    assert dict(layer.named_buffers())["keep_prob"] == 0.5


def test_another_keep_prob_needs_no_new_graph() -> None:
    layer = DropBlock2d(1.0, 2).train()
    torch.compiler.reset()
    graphs = []

    def counting(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(layer, fullgraph=True, backend=counting, dynamic=False)
    x = torch.randn(2, 8, 6, 6)
    for keep_prob in (1.0, 0.9, 0.5):
        layer.keep_prob.fill_(keep_prob)
        torch.manual_seed(1)
        got = compiled(x)
        torch.manual_seed(1)
        assert torch.equal(got, layer(x))
        assert torch.equal(got, x) == (keep_prob == 1.0)
    assert len(graphs) == 1


@pytest.mark.parametrize("drop_prob", [0.2, 0.7])
def test_stochastic_depth_equals_that_of_torchvision(drop_prob: float) -> None:
    x = torch.randn(64, 3, 2, 2)
    torch.manual_seed(3)
    expected = ops.stochastic_depth(x, drop_prob, mode="row")
    torch.manual_seed(3)
    assert torch.equal(stochastic_depth(x, drop_prob), expected)
    assert DropPath(drop_prob).eval()(x) is x


def test_assemble_drops_at_four_places_of_each_block_of_the_last_stages() -> None:
    config = BigLittleConfig(selective_kernel=AssembleKernel(), drop=DropBlockPart(), num_classes=3)
    with torch.device("meta"):
        network = raw_network(config)
    layers = {name: m for name, m in network.named_modules() if isinstance(m, DropBlock2d)}
    # Stage 3: five big blocks, one little, one after the merge; stage 4: three. The first block of
    # each row, and the one after the merge, have a projection with a DropBlock of its own.
    assert len([name for name in layers if name.startswith("layer3")]) == 3 * 7 + 3
    assert len([name for name in layers if name.startswith("layer4")]) == 3 * 3 + 1
    assert len(layers) == 34
    assert not [name for name in layers if "expand" in name]
    assert {m.scale for name, m in layers.items() if name.startswith("layer3")} == {0.25}
    assert {m.scale for name, m in layers.items() if name.startswith("layer4")} == {1.0}
    inside = [name.removeprefix("layer4.0.") for name in layers if name.startswith("layer4.0.")]
    assert inside == ["conv1.drop", "drop2", "conv3.drop", "downsample.3"]


def test_stochastic_depth_rises_linearly_with_depth() -> None:
    network = raw_network(ResNetConfig(depth=18, stochastic_depth=0.4, num_classes=3))
    probs = [m.drop_prob for m in network.modules() if isinstance(m, DropPath)]
    assert probs == pytest.approx([0.4 * block / 8 for block in range(1, 9)])
    with torch.device("meta"):
        little = raw_network(BigLittleConfig(stochastic_depth=0.4, num_classes=3))
    drop_probs = {
        name: m.drop_prob for name, m in little.named_modules() if isinstance(m, DropPath)
    }
    assert (
        drop_probs["layer1.big.0.drop_path"]
        == drop_probs["layer1.little.0.drop_path"]
        == pytest.approx(0.4 / 16)
    )
    assert drop_probs["layer1.fusion.0.drop_path"] == pytest.approx(0.4 * 3 / 16)
    assert drop_probs["layer4.2.drop_path"] == pytest.approx(0.4)


def test_a_dropped_branch_leaves_the_shortcut() -> None:
    network: Any = raw_network(ResNetConfig(depth=18, stochastic_depth=0.5, num_classes=3)).train()
    block, x = network.layer4[1], torch.randn(16, 512, 2, 2)
    assert block.drop_path.drop_prob == 0.5
    torch.manual_seed(0)
    unchanged = [torch.equal(out, row.relu()) for out, row in zip(block(x), x, strict=True)]
    assert 2 < sum(unchanged) < 14


def test_dropout_is_before_the_last_layer() -> None:
    network: Any = raw_network(ResNetConfig(depth=18, dropout=0.5, num_classes=3))
    features = torch.ones(4, 512)
    torch.manual_seed(0)
    dropped = network.head_drop(features)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(network.eval().head_drop(features), features)
