"""Residual branches, shortcuts and gates, found in what networks compute."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from tests.models.timm.handmade import handmade
from trickbag.models.timm.residual_branches import gates, last_norms, residuals
from trickbag.models.timm.trace import record


def test_residual_branchesare_found_by_what_is_computed() -> None:
    network = handmade()
    residual_branches = residuals(record(network))
    assert [residual.end.module for residual in residual_branches] == [
        block.e for block in network.blocks
    ]
    assert [{call.module for call in residual.shortcut} for residual in residual_branches] == [
        set(),
        {network.blocks[1].f},
    ]
    assert [call.module for call in last_norms(record(network))] == [
        block.e for block in network.blocks
    ]


def test_gates_are_found_and_are_no_end_of_a_branch() -> None:
    network = handmade(gated=True)
    calls = record(network)
    assert {call.module for call in gates(calls)} >= {
        m for b in network.blocks for m in (b.h, b.i, b.j)
    }
    assert not {call.module for call in gates(calls)} & {
        m for b in network.blocks for m in (b.c, b.e, b.g)
    }
    assert [call.module for call in last_norms(calls)] == [block.e for block in network.blocks]


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
def test_residual_branchesof_known_networks(name: str, branches: int, shortcuts: int) -> None:
    with torch.device("meta"):
        residual_branches = residuals(record(timm.create_model(name)))
    assert len(residual_branches) == branches
    assert (
        sum(
            any(isinstance(s.module, nn.Conv2d) for s in residual.shortcut)
            for residual in residual_branches
        )
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
