"""Evaluation and prediction with batch normalisation folded into the convolutions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trickbag.cli import main
from trickbag.errors import UserError
from trickbag.evaluate import Predictor, Trained
from trickbag.evaluate.loading import load_trained
from trickbag.models.task_config import SegmentationConfig

FOLDED = "batch normalisation folded"


def norms(trained: Trained) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in trained.network.modules())


def test_logits_are_the_same_but_for_rounding(run: Path) -> None:
    plain = load_trained(run, device="cpu", precision="float32")
    folded = load_trained(run, device="cpu", precision="float32", folded=True)
    assert norms(plain) > 0 == norms(folded)
    images = torch.randint(0, 256, (4, *plain.preprocessing.crop_shape), dtype=torch.uint8)
    expected = plain.logits(images)
    assert (folded.logits(images) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("runs", [1, 2])
def test_it_is_said_of_every_network(run: Path, runs: int) -> None:
    trained = load_trained([run] * runs, device="cpu", tta="flip", folded=True)
    assert trained.weights_title.count(FOLDED) == runs
    (note,) = [note for note in trained.notes if "folded" in note.reason]
    assert note.reason.endswith("the logits are those of the network but for rounding")


def test_a_network_without_such_layers_is_left_alone(trained: Trained) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    linear(torch.zeros(1, *trained.preprocessing.crop_shape))
    other = dataclasses.replace(trained, network=linear.eval()).with_folded_norms()
    assert FOLDED not in other.weights_title
    assert [note.kind for note in other.notes] == ["no_effect"]


def test_other_tasks_are_refused(trained: Trained) -> None:
    other = dataclasses.replace(trained, task=SegmentationConfig())
    with pytest.raises(UserError, match="--fold-batch-norms is for classifiers"):
        other.with_folded_norms()


def test_commands(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluated(*more: str) -> dict[str, Any]:
        assert main(["evaluate", str(run), "--workers", "0", "--json", *more]) == 0
        data: dict[str, Any] = json.loads(capsys.readouterr().out)
        return data

    plain, folded = evaluated(), evaluated("--fold-batch-norms")
    assert folded["loss"] == pytest.approx(plain["loss"], rel=1e-2)
    assert folded["weights"] == f"{plain['weights']}, {FOLDED}"
    assert any("are folded into the convolutions" in note for note in folded["warnings"])
    target = tmp_path / "out.csv"
    argv = ["predict", str(run), str(photos / "one"), "--csv", str(target), "--fold-batch-norms"]
    assert main(argv) == 0
    output = capsys.readouterr()
    assert FOLDED in output.out
    assert "are folded into the convolutions" in output.err


def test_a_predictor_in_python(run: Path, predictor: Predictor) -> None:
    image = np.zeros((16, 16), np.uint8)
    folded = Predictor.load(run, device="cpu", folded=True)
    expected, given = (next(each.predict([image])).probabilities for each in (predictor, folded))
    np.testing.assert_allclose(given, expected, atol=2e-2)
