"""A damaged checkpoint: `--resume` refuses it by name, and a trial of a study starts anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.recipes import tiny_recipe, train_arguments
from trickbag.cli import main
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog


def flip(file: Path) -> bytes:
    """Flip a bit; return what the file held."""
    intact = file.read_bytes()
    data = bytearray(intact)
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return intact


def test_damage_to_a_run(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    recipe = tiny_recipe(pictures, epochs=1)
    first = fit(recipe, 0, out, log=RunLog())
    (out / "result.json").unlink()
    weights = flip(out / "best.safetensors")
    resume = [*train_arguments(pictures, out, epochs=1), "--resume"]
    assert main(resume) == 2
    error = capsys.readouterr().err
    assert f"the weights {out / 'best.safetensors'} that the run has kept are damaged" in error
    assert "remove the checkpoint beside them" in error
    (out / "best.safetensors").write_bytes(weights)

    flip(out / "last.ckpt")
    damaged = (out / "last.ckpt").read_bytes()
    assert main(resume) == 2
    error = capsys.readouterr().err
    assert f"the checkpoint {out / 'last.ckpt'} is damaged" in error
    assert "remove it to train from the beginning, or start again in another --out" in error
    assert (out / "last.ckpt").read_bytes() == damaged

    for name in ("last.ckpt", "best.safetensors"):
        again = fit(recipe, 0, out, resume=True, log=RunLog(), restart_damaged=True)
        (note,) = [note for note in again.notes if note not in first.notes]
        assert note["kind"] == "damage"
        assert note["reason"].startswith(f"{name} was damaged (")
        assert again.metrics["top1"] == first.metrics["top1"]
        assert (out / "best.safetensors").read_bytes() == weights
        (out / "result.json").unlink()
        flip(out / "best.safetensors")
