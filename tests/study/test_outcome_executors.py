"""Outcomes that are measured on the weights, by real training: executors, signals, other calls."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import trickbag as tb
from tests.builders.recipes import study_arguments, study_recipe
from trickbag.cli import main
from trickbag.errors import Stopped
from trickbag.evaluate import Trained
from trickbag.evaluate.extra import EXTRA, ExtraSettings
from trickbag.evaluate.record import EvaluationRecord, read_records
from trickbag.study.executors import Executor
from trickbag.study.log import StudyLog
from trickbag.study.study import Study

OUTCOME = "shift_consistency"


@pytest.fixture(scope="module")
def study(pictures: Path) -> Study:
    return Study(
        recipe=study_recipe(pictures),
        design=tb.LeaveOneOut(tricks=("mixup",)),
        seeds=1,
        outcome=OUTCOME,
        keep_weights="all",
    )


def lines(folder: Path) -> dict[str, dict[str, Any]]:
    """The last line of each trial."""
    rows = (folder / "results.jsonl").read_text().splitlines()
    return {row["trial"]: row for row in map(json.loads, rows)}


def evaluated(run: Path) -> EvaluationRecord:
    return EXTRA["shifts"](Trained.load(run, "cpu"), ExtraSettings())


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "executor",
    [
        # One process alone is that of the other tests here.
        tb.Local(workers=2),
        pytest.param(
            tb.Ray(workers=1),
            marks=pytest.mark.skipif(
                importlib.util.find_spec("ray") is None, reason="ray is not installed"
            ),
        ),
    ],
    ids=["local", "ray"],
)
def test_every_executor_measures_the_kept_weights(
    study: Study, tmp_path: Path, executor: Executor
) -> None:
    study.run(executor, tmp_path, log=StudyLog())
    rows = lines(tmp_path)
    assert len(rows) == 2
    for trial, row in rows.items():
        run = tmp_path / "trials" / trial
        again = evaluated(run)
        assert row["metrics"][OUTCOME] == again.metrics[OUTCOME]
        assert row["evaluations"]["shifts"]["images"] == again.images
        record = read_records(run)["shifts"]
        assert record.metrics == again.metrics
        # The run itself is as it is without the study.
        assert OUTCOME not in json.loads((run / "result.json").read_text())["metrics"]
    (effect,) = json.loads((tmp_path / "effects.json").read_text())
    assert effect["pairs"] == 1


@pytest.mark.slow
def test_trained_anew_a_trial_is_what_it_was(study: Study, tmp_path: Path) -> None:
    first = dataclasses.replace(study, outcome="top1", keep_weights="full")
    first.run(tb.Inline(), tmp_path, log=StudyLog())
    before = lines(tmp_path)
    dataclasses.replace(study, keep_weights=None).run(tb.Inline(), tmp_path, log=StudyLog())
    after = lines(tmp_path)
    for trial, row in after.items():
        assert row["metrics"]["top1"] == before[trial]["metrics"]["top1"]
        texts = [text for text in row["warnings"] if text.startswith("trained anew")]
        assert len(texts) == (row["label"] == "-mixup")
    labels = {after[file.parent.name]["label"] for file in tmp_path.glob("trials/*/*.safetensors")}
    assert labels == {"full"}


def stops(_: Trained, **__: object) -> EvaluationRecord:
    """An evaluation in whose midst the process is asked to end."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    raise AssertionError("the signal has not ended it")


@pytest.mark.slow
def test_a_signal_ends_the_evaluation_and_the_training_stays(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        extra = dataclasses.replace(EXTRA["shifts"], function=f"{__name__}:stops")
        patch.setattr("trickbag.study.trial_evaluation.EXTRA", {"shifts": extra})
        with pytest.raises(Stopped, match="stopped by SIGTERM") as stopped:
            study.run(tb.Inline(), tmp_path, log=StudyLog())
    assert stopped.value.exit_code == 75
    (result,) = tmp_path.glob("trials/*/result.json")
    written = result.stat().st_mtime_ns
    assert lines(tmp_path) == {}
    study.run(tb.Inline(), tmp_path, log=StudyLog())
    assert result.stat().st_mtime_ns == written, "trained once"
    assert len(lines(tmp_path)) == 2


@pytest.mark.slow
def test_a_dry_run_counts_the_evaluation(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--tricks", "mixup", "--seeds", "1", "--workers", "1", "--outcome", OUTCOME)
    out = tmp_path / "study"
    assert main(study_arguments(pictures, out, *more, "--dry-run")) == 0
    text = capsys.readouterr().out
    assert "resnet18, changed, agreement of the predictions for shifted images: " in text
    assert "a trial, by a few images" in text
    assert "on 12 of 12 validation images" in text
    assert not out.exists()
