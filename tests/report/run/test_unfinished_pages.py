"""The page of a run that has not finished, failed, or left little."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.report.html_page import Page
from tests.report.run.pages import page_of
from tests.report.run_folder import (
    trained,
    write_csv,
    write_json,
    write_run,
)
from trickbag.report import run_page

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_that_has_not_finished(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", epochs=3, planned=10))
    assert "not finished: 3 of 10 epochs done" in page.words("")
    assert f"{trained(3)[-1].metrics['top1']:.2f} %" in page.words("")
    assert len(page.all("svg")) == 6
    assert "now" in page.words("curves")


def test_a_run_of_one_epoch_is_drawn_as_points(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", epochs=1))
    assert page.source.count("<use ") >= 4


def test_a_run_without_an_epoch(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", epochs=0, planned=10))
    assert "not finished: 0 of 10 epochs done" in page.words("")
    assert [values["aria-label"].partition(" ")[0] for values in page.all("svg")] == ["Learning"]
    for section in ("confusion", "calibration", "classes", "mistakes"):
        assert "yet" in page.words(section)


def test_a_run_that_failed(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", epochs=2, planned=10, error="loss is <NaN> at step 77, lr 0.1"
    )
    page = Page(run_page(folder))
    assert "failed after 2 of 10 epochs" in page.words("")
    assert "The run failed loss is <NaN> at step 77, lr 0.1" in page.words("")


def test_only_a_recipe(tmp_path: Path) -> None:
    write_json(tmp_path / "recipe.json", {"schema": 1})
    page = page_of(tmp_path)
    assert page.all("svg") == []
    assert "holds no resolved schedule" in page.words("curves")
    assert "No tricks" in page.words("recipe")
    assert "does not say on what machine" in page.words("environment")


def test_undefined_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    (folder / "metrics.jsonl").write_text(
        '{"epoch": 1, "top1": null, "loss": NaN, "train_loss": 2.0, "ece": null}\n'
        '{"epoch": 2, "top1": null, "loss": Infinity, "train_loss": 1.5, "top5": 1'
        + "0" * 400
        + "}\n"
    )
    result = json.loads((folder / "result.json").read_text())
    result["metrics"] = {
        "top1": None,
        "top5": None,
        "loss": None,
        "ece": None,
        "best_top1": None,
        "params": 1e309,
    }
    write_json(folder / "result.json", result)
    write_csv(
        folder / "predictions.csv",
        [("image", "label", "predicted", "confidence"), ("a", "x", "y", "nan")],
    )
    page = page_of(folder)
    assert "— top-1" in page.words("")
    assert "no predictions with a confidence" in page.words("calibration")
    assert "No epoch has been evaluated" in page.words("curves")
