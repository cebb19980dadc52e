from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from tests.report.run_folder import trained, write_json, write_run
from trickbag.errors import UserError
from trickbag.report import FORMATS, run_table

if TYPE_CHECKING:
    from pathlib import Path


def test_markdown(tmp_path: Path) -> None:
    lines = run_table(write_run(tmp_path / "run"), "md").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["small, seed 0, 6 epochs", "value"]
    assert set(cells[1][0]) == {"-"}
    assert cells[2] == ["top-1 (%)", f"{trained(6)[-1].metrics['top1']:.2f}"]
    assert ["parameters", "11,181,642"] in cells
    assert len({len(line) for line in lines}) == 1


def test_csv_has_every_digit(tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(run_table(write_run(tmp_path / "run"), "csv"))))
    assert rows[0] == ["metric", "value"]
    assert float(dict(rows[1:])["loss"]) == trained(6)[-1].metrics["loss"]


def test_json_is_what_the_result_says(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    data = json.loads(run_table(folder, "json"))
    assert data["metrics"] == json.loads((folder / "result.json").read_text())["metrics"]
    assert (data["recipe"], data["seed"], data["epochs"], data["error"]) == ("small", 0, 6, None)


def test_latex_escapes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", name="my_50%_{recipe}\\")
    text = run_table(folder, "latex")
    assert r"my\_50\%\_\{recipe\}\textbackslash{}, seed 0, 6 epochs & value \\" in text
    assert text.count(r" \\") == 1 + 9
    assert text.startswith(r"\begin{tabular}{lr}" + "\n" + r"\toprule")


@pytest.mark.parametrize(
    ("form", "text"), [("md", "—"), ("latex", "top-1 (\\%) & --- \\\\"), ("csv", "top1,\n")]
)
def test_undefined_values(tmp_path: Path, form: str, text: str) -> None:
    folder = write_run(tmp_path / "run", epochs=1)
    result = json.loads((folder / "result.json").read_text())
    metrics = {"top1": None, "own|metric": 0.25}
    write_json(folder / "result.json", result | {"metrics": metrics})
    table = run_table(folder, form)
    assert text in table
    assert "0.25" in table


def test_a_run_that_has_not_finished_gives_its_last_epoch(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2, planned=9)
    data = json.loads(run_table(folder, "json"))
    assert data["metrics"]["top1"] == trained(2)[-1].metrics["top1"]
    assert "step" not in data["metrics"]
    assert all(run_table(folder, form).endswith("\n") for form in FORMATS)


def test_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="format = 'xml': must be one of csv, json, latex, md"):
        run_table(write_run(tmp_path / "run", epochs=1), "xml")
    with pytest.raises(UserError, match="no folder"):
        run_table(tmp_path / "absent", "md")


def test_intervals_stand_beside_their_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    file = folder / "result.json"
    result = json.loads(file.read_text())
    assert "interval" not in run_table(folder, "md")
    file.write_text(json.dumps(result | {"intervals": {"top1": [91.25, 98.5]}}))
    head, _, *lines = run_table(folder, "md").splitlines()
    assert "95 % interval over images" in head
    (top1,) = (line for line in lines if line.startswith("| top-1 (%)"))
    assert top1.endswith(" 91.2 to 98.5 |")
    assert "91.2 to 98.5" in run_table(folder, "latex")
    assert json.loads(run_table(folder, "json"))["intervals"] == {"top1": [91.25, 98.5]}
