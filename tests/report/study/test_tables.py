from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.report.study_folder import write_study
from trickbag.errors import UserError
from trickbag.report import study_table
from trickbag.study.analysis.table import effects_csv

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("studies") / "study", seeds=8, epochs=2)


def test_markdown(study: Path) -> None:
    lines = study_table(study, "md").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["effect", "top-1 (%)", "95 % interval", "p (Holm)", "pairs", "verdict"]
    assert [set(cell) for cell in cells[1]] == [
        {"-"},
        {"-", ":"},
        {"-", ":"},
        {"-", ":"},
        {"-", ":"},
        {"-"},
    ]
    effects = json.loads((study / "effects.json").read_text())
    assert [row[0] for row in cells[2:]] == [effect["label"] for effect in effects]
    assert cells[-1][1] == f"{effects[-1]['delta']:+.2f}"
    assert cells[-1][4:] == ["8", "helps"]
    assert len({len(line) for line in lines}) == 1


def test_latex(study: Path) -> None:
    text = study_table(study, "latex")
    assert text.startswith("\\begin{tabular}{lrrrrl}\n\\toprule\neffect & top-1 (\\%)")
    assert text.count(" \\\\\n") == 1 + 9
    assert "label\\_smoothing & " in text
    assert "$-$" in text
    assert text.isascii()


def test_several_networks_have_a_column(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "study",
        models=("resnet18_d", "resnet34_d"),
        seeds=2,
        epochs=1,
        tricks=("mixup",),
    )
    lines = study_table(folder, "md").splitlines()
    assert lines[0].split("|")[2].strip() == "network"
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["resnet18_d", "resnet34_d"]
    assert "{llrrrrl}" in study_table(folder, "latex")


def test_csv_has_every_digit_and_is_the_drivers(study: Path) -> None:
    text = study_table(study, "csv")
    effects = json.loads((study / "effects.json").read_text())
    assert text == effects_csv(effects)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(effects) == 9
    for row, effect in zip(rows, effects, strict=True):
        for name in ("delta", "low", "high", "p", "p_raw", "sd"):
            assert float(row[name]) == effect[name]
        assert (row["label"], row["verdict"], int(row["pairs"])) == (
            effect["label"],
            effect["verdict"],
            8,
        )
        assert [float(row["bootstrap_low"]), float(row["bootstrap_high"])] == effect["bootstrap"]
        assert float(row["macs_ratio"]) == effect["cost"]["macs"]["ratio"]
        assert row["macs_low"] == row["shapley"] == row["note"] == ""


def test_csv_of_effects_of_different_kinds() -> None:
    effects: list[dict[str, Any]] = [
        {
            "label": 'a,"b"',
            "cost": {"macs": {"ratio": 1.5, "pairs": 2}},
            "shapley": [0.1, None, 2.0],
        },
        {"label": "c", "cost": {"params": None}, "note": "two\nlines"},
    ]
    rows = list(csv.DictReader(io.StringIO(effects_csv(effects))))
    assert [row["label"] for row in rows] == ['a,"b"', "c"]
    assert (rows[0]["shapley"], rows[0]["shapley_low"], rows[0]["shapley_high"]) == (
        "0.1",
        "",
        "2.0",
    )
    assert (rows[0]["macs_ratio"], rows[0]["macs_pairs"], rows[0]["params_ratio"]) == (
        "1.5",
        "2",
        "",
    )
    assert rows[1]["note"] == "two\nlines"
    assert effects_csv([]).startswith("label,model,delta,low,high,p,")


def test_json_is_what_the_study_holds(study: Path) -> None:
    printed = json.loads(study_table(study, "json"))
    stored = json.loads((study / "effects.json").read_text())
    assert [effect["cost"] for effect in printed] == [effect["cost"] for effect in stored]
    assert [effect["delta"] for effect in printed] == [effect["delta"] for effect in stored]


def test_undefined_values(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", seeds=1, epochs=1, reasons={"-mixup": "it | cannot"})
    last = study_table(folder, "md").splitlines()[-1]
    assert [cell.strip() for cell in last.strip("|").split("|")] == [
        "mixup",
        "—",
        "—",
        "—",
        "0",
        "does not apply",
    ]
    assert "--- & --- & --- & 0" in study_table(folder, "latex")


@pytest.mark.parametrize(("form", "lines"), [("md", 2), ("latex", 6), ("csv", 1), ("json", 1)])
def test_a_study_without_effects_yet(tmp_path: Path, form: str, lines: int) -> None:
    folder = write_study(tmp_path / "study", seeds=1, epochs=1, effects=False)
    text = study_table(folder, form)
    assert len(text.splitlines()) == lines
    assert text.endswith("\n")


def test_an_unknown_format(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="format = 'xml': must be one of csv, json, latex, md"):
        study_table(study, "xml")
    with pytest.raises(UserError, match="no folder"):
        study_table(tmp_path / "absent", "md")
