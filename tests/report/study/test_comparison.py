from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.report.html_page import Page
from tests.report.run_folder import write_json, write_run
from tests.report.study_folder import write_study
from trickbag.errors import UserError
from trickbag.report import compare_studies
from trickbag.report.format import signed

if TYPE_CHECKING:
    from pathlib import Path


def test_two_studies(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", epochs=1)
    b = write_study(
        tmp_path / "b<1>",
        epochs=1,
        seeds=4,
        sd=0.6,
        tricks=("mixup", "warmup"),
        changes={"threads": 2},
    )
    plan = json.loads((b / "study.json").read_text())
    plan["recipe"]["training"]["lr"] = 0.123
    write_json(b / "study.json", plan)
    path = compare_studies(a, b)
    assert path == a / "compared.html"
    page = Page(path)
    page.check()
    words = page.words("effects")
    first, second = (
        {effect["label"]: effect for effect in json.loads((folder / "effects.json").read_text())}
        for folder in (a, b)
    )
    gap = signed("top1", second["mixup"]["delta"] - first["mixup"]["delta"])
    row = words.partition("mixup ")[2]
    assert (
        f"{signed('top1', first['mixup']['delta'])} {signed('top1', first['mixup']['low'])} to"
        in row
    )
    assert signed("top1", second["mixup"]["delta"]) in row
    assert gap in row
    assert "resnet_d" in words
    assert words.count("not in it") == 7
    assert [values["aria-label"] for values in page.all("svg")] == [
        "Effects on top-1 in both studies, with 95 % intervals"
    ]
    differs = page.words("differences")
    assert "seeds 5 4" in differs
    assert "threads 1 2" in differs
    assert "training.lr 0.4 0.123" in differs
    assert "b<1>" in page.words("")
    assert page.words("").count("On this data, ") == 2


def test_other_outcomes_are_not_subtracted(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", epochs=1, seeds=2)
    b = write_study(tmp_path / "b", epochs=1, seeds=2, outcome="loss")
    page = Page(compare_studies(a, b, tmp_path / "out.html"))
    page.check()
    assert "The outcome of A is top-1, that of B loss" in page.words("effects")
    assert not page.all("svg")
    assert "outcome top1 loss" in page.words("differences")


def test_networks_of_either(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", epochs=1, seeds=2, tricks=("mixup",))
    b = write_study(
        tmp_path / "b", epochs=1, seeds=2, tricks=("mixup",), models=("resnet34_d",), effects=False
    )
    page = Page(compare_studies(a, b, tmp_path / "out.html"))
    page.check()
    assert "resnet34_d Neither study has effects yet" in page.words("effects")
    assert "No effect can be told yet" not in page.words("effects")


def test_equal_settings(tmp_path: Path) -> None:
    a, b = (write_study(tmp_path / name, epochs=1, seeds=2) for name in "ab")
    page = Page(compare_studies(a, b))
    assert "Nothing: recipe, design, seeds and data are the same" in page.words("differences")


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", epochs=1, seeds=1)
    run = write_run(tmp_path / "run", epochs=1)
    with pytest.raises(UserError, match="are the same study"):
        compare_studies(a, tmp_path / "." / "a")
    with pytest.raises(UserError, match="is no study"):
        compare_studies(a, run)
    with pytest.raises(UserError, match="there is no folder"):
        compare_studies(
            a, write_study(tmp_path / "b", epochs=1, seeds=1), tmp_path / "absent" / "page.html"
        )
