"""Files of a run that are damaged are named, not shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.report.run_folder import (
    write_json,
    write_run,
)
from trickbag.errors import UserError
from trickbag.report import run_page

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "small-1")


def test_a_damaged_calibration_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "evaluations").mkdir()
    write_json(folder / "evaluations" / "calibration.json", {"schema": 1, "kind": "calibration"})
    with pytest.raises(UserError, match=r"calibration\.json"):
        run_page(folder)


WRONG = [
    ("recipe.json", '{"schema": 1,\n "name": }', "line 2"),
    ("recipe.json", "[1]", "must be a JSON object"),
    ("recipe.json", '{"resolved": 3}', "resolved = 3"),
    ("recipe.json", "[" * 100_000, "line 1"),
    ("result.json", "{}", "trial = None"),
    ("metrics.jsonl", '{"epoch": 1}\n{"epoch": 2, "top1"', "line 2"),
    ("metrics.jsonl", '{"epoch": 1}\n\n{"step": 2}\n', "line 3"),
    ("metrics.jsonl", '{"epoch": 1, "top1": true}\n', "line 1"),
    ("metrics.jsonl", '{"epoch": 1, "top1": 1' + "0" * 5000 + "}\n", "line 1"),
    ("predictions.csv", "image,label,confidence\na,b,1\n", "'predicted'"),
    ("predictions.csv", "image,label,predicted,confidence\na,b,c,0.5\na,b,c\n", "line 3"),
    (
        "predictions.csv",
        "image,label,predicted,confidence\na,b,c,1.5\n",
        "line 2: confidence = '1.5'",
    ),
    (
        "predictions.csv",
        "image,label,predicted,confidence\na,b,c,much\n",
        "line 2: confidence = 'much'",
    ),
    ("predictions.csv", 'image,label,predicted,confidence\n"a,b,c,0.5\n', "line 2"),
    ("predictions.csv", "", "line 1"),
    ("data_errors.csv", "name,reason\n", "'file'"),
]


@pytest.mark.parametrize(("name", "text", "message"), WRONG)
def test_a_damaged_file_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    folder = write_run(tmp_path / "run", epochs=1)
    (folder / name).write_text(text)
    with pytest.raises(UserError) as error:
        run_page(folder)
    assert str(folder / name) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"top1": "high"}}, "metrics: top1 = 'high': must be a number or null"),
        ({"metrics": [1]}, "metrics = [1]: must be a JSON object"),
        ({"notes": "text"}, "notes = 'text': must be a list of notes"),
        ({"data_errors": ["a"]}, "data_errors: 'a' must be an object"),
    ],
)
def test_a_damaged_part_of_the_result_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    file = write_run(tmp_path / "run", epochs=1) / "result.json"
    write_json(file, json.loads(file.read_text()) | changes)
    with pytest.raises(UserError) as error:
        run_page(file.parent)
    assert str(error.value).startswith(f"cannot read {file}: ")
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["recipe.json", "predictions.csv", "metrics.jsonl"])
def test_a_file_that_is_no_text(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run", epochs=1)
    (folder / name).write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="is not UTF-8"):
        run_page(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(UserError, match="cannot read"):
        run_page(folder)


@pytest.mark.parametrize(
    "schedule", [{"warmup_epochs": -1}, {"decay": {"kind": "none"}}, {"speed": 1}, 3]
)
def test_a_schedule_that_cannot_be_read(tmp_path: Path, schedule: object) -> None:
    folder = write_run(tmp_path / "run", epochs=1)
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["resolved"]["schedule"] = schedule
    write_json(folder / "recipe.json", recipe)
    with pytest.raises(UserError, match=r"recipe\.json: "):
        run_page(folder)


def test_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"is no run: it holds no recipe\.json"):
        run_page(tmp_path / "empty")
    for name in ("absent", "file"):
        with pytest.raises(UserError, match="no folder"):
            run_page(tmp_path / name)


def test_where_a_page_cannot_go(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        run_page(finished, tmp_path / "absent" / "page.html")
    with pytest.raises(UserError, match="it is a folder"):
        run_page(finished, tmp_path)
