"""`trickbag probe`: what it prints, and that other commands take its folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Call = Any


@pytest.mark.slow
def test_a_probe_of_a_run_prints_its_scores_and_is_a_run(
    photos: Path, run: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = ["probe", "--data", photos, "--model", run, "--set", "data.workers=0"]
    code, out, err = call(*options, "--out", tmp_path / "probe", "--device", "cpu")
    assert code == 0, err
    lines = out.splitlines()
    assert any("computed once of images of 16 px, in float32" in line for line in lines)
    table = {line.partition("  ")[0]: line for line in lines}
    assert "% (" in table["linear probe: top-1"]
    assert "% (" in table["top-1 of the nearest neighbours"]
    assert "% (" in table["retrieval recall at 10"]
    assert lines[-1] == f"report: {tmp_path / 'probe' / 'report.html'}"
    top1 = json.loads((tmp_path / "probe" / "result.json").read_text())["metrics"]["top1"]
    code, out, err = call("evaluate", tmp_path / "probe", "--json", "--workers", "0")
    assert (code, json.loads(out)["metrics"]["top1"]) == (0, top1)
    assert call("predict", tmp_path / "probe", photos, "--csv", tmp_path / "out.csv")[0] == 0
    assert (
        call("export", tmp_path / "probe", "--format", "torch", "--out", tmp_path / "x.pt2")[0] == 0
    )
    assert "R-precision" in call("report", tmp_path / "probe", "--format", "md")[1]
    code, out, err = call(*options, "--out", tmp_path / "again", "--json")
    data = json.loads(out)
    assert (code, data["probe"]["computed"], data["metrics"]["top1"]) == (0, 0, top1)
    assert data["run"] == str(tmp_path / "again")
