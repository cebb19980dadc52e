"""The command `search`: what it prints and writes, and wrong input in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders.recipes import train_arguments
from tests.report.html_page import Page

Call = Any


def arguments(kind: str, source: Path, out: Path, *more: str) -> list[str]:
    _, *options = train_arguments(source, out, epochs=1)
    return ["search", kind, *options, "--folds", "2", "--workers", "1", *more]


@pytest.mark.slow
def test_a_policy_is_found_compared_and_shown(pictures: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "search"
    command = arguments("autoaugment", pictures, out, "--trials", "16", "--compare", "--seeds", "2")
    code, text, err = call(*command)
    assert (code, err) == (0, "")
    assert f"use it: --with auto_augment:policy={out / 'policy.json'}" in text
    assert "--trials 16 --trial-epochs 1" in text
    study = json.loads((out / "comparison" / "study.json").read_text())
    labels = [variant["label"] for variant in study["layouts"][0]["variants"]]
    assert labels == ["no_policy", "published_cifar10", "found_by_density", "found_by_random"]
    spent, random = (
        json.loads((folder / "search.json").read_text()) for folder in (out, out / "random")
    )
    assert random["settings"]["controller"] == "random"
    assert random["budget_s"] == pytest.approx(spent["spent_s"])
    page = Page(out / "report.html")
    page.check()
    assert "found_by_density" in page.words("comparison")
    assert len(page.all("img")) >= 25
    # Once more: nothing is left to do.
    files = [out / part / "results.jsonl" for part in (".", "random", "comparison")]
    before = [file.read_bytes() for file in files]
    code, _, err = call(*command)
    assert (code, err) == (0, "")
    assert [file.read_bytes() for file in files] == before
    code, text, _ = call("report", out)
    assert (code, text.strip()) == (0, f"report: {out / 'report.html'}")


@pytest.mark.slow
@pytest.mark.long
def test_constants_are_found_and_compared_at_equal_work(
    pictures: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "search"
    code, text, err = call(
        *arguments("scaling", pictures, out, "--trials", "6", "--compare", "--seeds", "2")
    )
    assert (code, err) == (0, "")
    study = json.loads((out / "comparison" / "study.json").read_text())
    labels = [variant["label"] for variant in study["layouts"][0]["variants"]]
    assert labels == ["compound scaling", "depth alone", "width alone", "image size alone"]
    assert all(f"{label}: " in text for label in labels)
    page = Page(out / "report.html")
    page.check()
    assert "width alone" in page.words("comparison")


def test_a_dry_run_writes_nothing(pictures: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "search"
    code, text, err = call(*arguments("autoaugment", pictures, out, "--trials", "16", "--dry-run"))
    assert (code, err) == (0, "")
    assert "2 networks are trained first, 1 epoch on 24 images, judged on 24" in text
    assert "16 suggestions to try, an evaluation" in text
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], "give one of --budget 1h and --trials 100"),
        (["--trials", "9", "--budget", "1h"], "give one of --budget 1h and --trials 100"),
        (["--trials", "none"], "--trials"),
        (["--trials", "0"], "--trials"),
        (["--budget", "soon"], "--budget = 'soon': must be a time"),
        (["--trials", "9", "--folds", "1"], "--folds"),
        (["--trials", "9", "--trial-epochs", "0"], "--trial-epochs"),
        (["--trials", "9", "--controller", "grid"], "--controller"),
        (["--trials", "9", "--seed", "x"], "--seed"),
        (["--trials", "9", "--seeds", "3"], "--seeds is for --compare"),
        (["--trials", "9", "--folds", "40"], "too few for 40 folds"),
        (["--budget", "1s", "--trial-epochs", "1000"], "too short for one trial"),
    ],
)
def test_wrong_input_is_one_line(
    pictures: Path, tmp_path: Path, call: Call, more: list[str], says: str
) -> None:
    out = tmp_path / "search"
    code, _, err = call(*arguments("autoaugment", pictures, out), *more)
    assert (code, err.count("\n")) == (2, 1), err
    assert says in err
    assert not (out / "search.json").exists()


def test_wrong_searches_are_one_line(pictures: Path, tmp_path: Path, call: Call) -> None:
    for words, says in (
        (["search"], "autoaugment|scaling"),
        (["search", "policy"], "no search 'policy'"),
        (arguments("scaling", pictures, tmp_path / "a", "--trials", "3"), "3 trials are too few"),
        (
            arguments("scaling", pictures, tmp_path / "b", "--trials", "9", "--controller", "ppo"),
            "--controller is for search autoaugment",
        ),
        (
            ["search", "scaling", "--model", "timm:resnet18", "--trials", "9"],
            "resnet18 has the depth and width of its name",
        ),
    ):
        code, _, err = call(*words)
        assert (code, err.count("\n")) == (2, 1), err
        assert says in err, err
