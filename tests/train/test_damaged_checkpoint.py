"""A damaged checkpoint: `--resume` refuses it by name, and a trial of a study starts anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.recipes import tiny_recipe, train_arguments
from trickbag.cli import main
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog


def test_a_damaged_checkpoint(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    recipe = tiny_recipe(pictures, epochs=1)
    first = fit(recipe, 0, out, log=RunLog())
    weights = (out / "best.safetensors").read_bytes()
    (out / "result.json").unlink()
    data = bytearray((out / "last.ckpt").read_bytes())
    data[len(data) // 2] ^= 1
    (out / "last.ckpt").write_bytes(data)
    assert main([*train_arguments(pictures, out, epochs=1), "--resume"]) == 2
    error = capsys.readouterr().err
    assert f"the checkpoint {out / 'last.ckpt'} is damaged" in error
    assert "remove it to train from the beginning, or start again in another --out" in error
    assert (out / "last.ckpt").read_bytes() == data

    again = fit(recipe, 0, out, resume=True, log=RunLog(), restart_damaged=True)
    assert [note["kind"] for note in again.notes if note not in first.notes] == ["damage"]
    assert again.metrics["top1"] == first.metrics["top1"]
    assert (out / "best.safetensors").read_bytes() == weights
