"""`evaluate --shift-consistency` and `evaluate --perturbations`."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from trickbag.evaluate.record import read_records

if TYPE_CHECKING:
    from pathlib import Path

Call = Any


def test_shift_consistency_is_printed_and_kept(call: Call, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    options = ("--workers", "0", "--shift-consistency", "--shift-pairs", "3", "--seed", "4")
    code, out, _ = call("evaluate", copy, *options, "--limit", "5", "--json")
    assert code == 0
    data = json.loads(out)
    record = read_records(copy)["shifts"]
    assert data["shifts"] == record.to_dict()
    assert data["metrics"]["shift_consistency"] == data["shift_consistency"]
    assert (record.images, record.details["total"]) == (5, 15)
    assert record.settings["seed"] == 4
    code, out, _ = call("evaluate", copy, *options)
    assert code == 0
    value = read_records(copy)["shifts"].metrics["shift_consistency"]
    assert f"shift consistency: {value:.2f} %" in out
    assert "shifted images: 6, 3 pairs of each" in out


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--shift-pairs", "3"], ["--shift-pairs", "--shift-consistency"]),
        (["--shift-consistency", "--shift-pairs", "0"], ["--shift-pairs = 0", "at least 1"]),
        (["--shift-consistency", "--shift-pairs", "many"], ["--shift-pairs", "many"]),
        (["--shift-consistency", "--seed", "-1"], ["--seed = -1"]),
    ],
)
def test_wrong_options_are_one_line(
    call: Call, run: Path, options: list[str], texts: list[str]
) -> None:
    code, out, err = call("evaluate", run, *options)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert all(text in err for text in texts)
