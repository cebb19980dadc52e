"""The command `pack`: what it prints, and packs in the place of their folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.runs import train

if TYPE_CHECKING:
    from pathlib import Path

Call = Any


def test_what_it_prints(call: Call, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.arrow"
    code, printed, err = call("pack", photos, "--out", out)
    assert code == 0, err
    assert printed.splitlines() == [
        f"{out}: 36 images (train 36), 3 classes, 0.0 MB",
        "images: the bytes of their files",
        "left out: none",
        f"use it: trickbag train --data {out}",
    ]
    assert err == f"trickbag pack: {out} will have about 0.0 MB\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.arrow"]
    code, _, err = call("pack", photos, "--out", out)
    assert code == 2
    assert "exists; choose another name, or remove it" in err


def test_its_json(call: Call, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.arrow"
    options = ("--encoding", "jpeg", "--quality", "80", "--workers", "2", "--json")
    code, printed, _ = call("pack", photos, "--out", out, *options)
    assert code == 0
    record = json.loads(printed)
    assert record["encoding"] == "jpeg"
    assert record["quality"] == 80
    assert record["images"] == {"train": 36}
    assert record["classes"] == ["one", "three", "zero"]
    assert record["bytes"] == out.stat().st_size
    assert record["left_out"] == record["warnings"] == []


def test_small_images_are_not_enlarged(call: Call, photos: Path, tmp_path: Path) -> None:
    code, printed, _ = call("pack", photos, "--out", tmp_path / "x.arrow", "--short-side", "64")
    assert code == 0
    assert "JPEG of quality 90; 0 of them scaled to a short side of 64 px" in printed


def test_a_pack_is_diagnosed_and_evaluated_as_its_folder(
    call: Call, photos: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.arrow"
    assert call("pack", photos, "--out", out)[0] == 0
    records = []
    for source in (photos, out):
        code, printed, err = call("doctor", source, "--json")
        assert code == 0, err
        records.append(json.loads(printed))
    for record in records:
        del record["source"]
    assert records[0] == records[1]
    evaluations = []
    for source in (photos, out):
        code, printed, err = call("evaluate", run, "--data", source, "--json", "--workers", "0")
        assert code == 0, err
        evaluations.append(json.loads(printed))
    # Known again as the data of the run: its validation part.
    assert evaluations[0]["metrics"] == evaluations[1]["metrics"]
    assert evaluations[0]["part"] == evaluations[1]["part"] == "val"


@pytest.mark.slow
def test_a_run_on_a_pack_is_the_run_on_its_folder(
    call: Call, photos: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.arrow"
    assert call("pack", photos, "--out", out)[0] == 0
    other = train(out, tmp_path / "run", "--epochs", "2")
    for name in ("best.safetensors", "predictions.csv"):
        assert (other / name).read_bytes() == (run / name).read_bytes()
    trials = [json.loads((folder / "result.json").read_text())["trial"] for folder in (run, other)]
    assert trials[0] == trials[1]
