"""`bench infer`: each way computes the same network, and says how far its logits are off."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch

from tests.builders.runs import train
from trickbag.bench import infer
from trickbag.bench.infer import bench_infer
from trickbag.cli import main
from trickbag.errors import UserError
from trickbag.evaluate.network import initial_network
from trickbag.evaluate.trained import Trained


def ticks() -> Callable[[], float]:
    """A clock that goes on by a second whenever it is read: no test is about real time."""
    seconds = count()
    return lambda: float(next(seconds))


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer, "BATCH_SIZES", (1, 8))


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(pictures, tmp_path_factory.mktemp("bench") / "run", "--epochs", "1")


def test_the_ways_of_a_run(run: Path) -> None:
    trained = Trained.load(run, "cpu", "float32")
    before = {name: tensor.clone() for name, tensor in trained.network.state_dict().items()}
    speed = bench_infer(trained, batch_size=4, seconds=1.0, clock=ticks())
    ways = {way.title: way for way in speed.ways}
    assert len(ways) == 8
    assert speed.ways[0].title == f"float32, {trained.layout}"  # that of the run
    assert speed.ways[0].difference == 0
    for title, way in ways.items():
        assert way.difference < (1e-5 if title.startswith("float32") else 0.1)
        assert way.images_per_s == 4
    assert ways["bf16, contiguous"].difference > 1e-5  # it is another precision
    assert [way.batch_size for way in speed.batches] == [1, 8]
    assert list(speed.parts_ms) == ["loading", "preparing", "network", "probabilities"]
    assert speed.bottleneck == "preparing"  # of parts that are as long as each other the first
    assert all(torch.equal(before[name], t) for name, t in trained.network.state_dict().items())
    data = json.loads(json.dumps(speed.to_dict()))
    assert data["fastest"].startswith(f"float32, {trained.layout}")


def test_a_network_by_its_name_has_nothing_to_load() -> None:
    trained = initial_network("timm:test_resnet", "cpu")
    speed = bench_infer(trained, batch_size=2, seconds=1.0, clock=ticks())
    assert "loading" not in speed.parts_ms
    assert any(way.folded for way in speed.ways)


def test_networks_that_nothing_folds() -> None:
    trained = initial_network("timm:test_vit", "cpu")
    speed = bench_infer(trained, batch_size=2, seconds=1.0, clock=ticks())
    assert not any(way.folded for way in (*speed.ways, *speed.batches))


def test_the_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "infer", str(run), "--device", "cpu", "--seconds", "0.01"]
    assert main([*command, "--batch-size", "2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {"ways", "batches", "parts_ms", "bottleneck", "fastest"} <= data.keys()
    assert main([*command, "--batch-size", "2"]) == 0
    assert "evaluate and predict: " in capsys.readouterr().out


def test_an_average_is_refused(run: Path) -> None:
    from trickbag.evaluate.loading import load_trained

    average = load_trained([run], device="cpu", tta="flip")
    with pytest.raises(UserError, match="measures one classifier, not an average"):
        bench_infer(average)
