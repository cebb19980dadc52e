"""Throughput, latency and memory: what is measured, not how fast it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.builders.trained import halves_network, preprocessing_of_size
from trickbag.evaluate.average import averaged
from trickbag.evaluate.speed import measure_speed, throughputs


@pytest.mark.parametrize("tta", [None, "ten-crop"])
def test_calls_are_those_that_are_said(photos: Path, tta: str | None) -> None:
    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sizes: list[int] = []

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.sizes.append(len(images))
            return torch.zeros(len(images), 3)

    network = Counting()
    trained = averaged([halves_network(network=network)], tta)
    speed = measure_speed(trained, data=str(photos), batch_size=64, repetitions=(5, 3), warm_up=2)
    # The part has 45 images, fewer than the batch.
    views = 1 if tta is None else 10
    assert network.sizes == [1] * 7 * views + [64] * 5 * views
    data = speed.to_dict()
    assert data["latency_p95_ms"] >= data["latency_median_ms"] > 0
    assert data["throughput"] > 0
    assert data | {"device": "cpu", "precision": "float32", "batch_size": 64} == data
    assert (data["repetitions"], data["warm_up"]) == ([5, 3], 2)
    assert data["threads"] == torch.get_num_threads()


def test_networks_are_called_in_turns_each_at_its_own_size() -> None:
    calls: list[tuple[str, tuple[int, ...]]] = []

    class Recording(torch.nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            calls.append((self.name, tuple(images.shape)))
            return torch.zeros(len(images), 3)

    networks = [
        halves_network(network=Recording(name), preprocessing=preprocessing_of_size(size))
        for name, size in (("small", 16), ("large", 24))
    ]
    speeds = throughputs(networks, 5, threads=1, rounds=3, warm_up=1)
    assert len(speeds) == 2
    assert min(speeds) > 0
    assert calls == 4 * [("small", (5, 3, 16, 16)), ("large", (5, 3, 24, 24))]
