"""Everything that can be wrong about files."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from trickbag.data.config import DataConfig
from trickbag.data.packing.pack import write_pack
from trickbag.models.deleted_weights import DeletedWeights

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_files"]


def make_files(tmp: Path, run: Path) -> None:
    """Fill a folder with everything that can be wrong about files."""
    (tmp / "notes.txt").write_text("not an image, not a model\n")
    (tmp / "empty").mkdir()
    (tmp / "folder.png").mkdir()
    (tmp / "link.csv").symlink_to(tmp / "nowhere.csv")
    for name in ("one_class/cat", "empty_class/cat", "empty_class/dog"):
        (tmp / name).mkdir(parents=True)
    for name in ("one_class/cat/1.png", "empty_class/cat/1.png"):
        (tmp / name).write_bytes(b"x")
    (tmp / "bad.csv").write_text("sort,kind\nx,cat\n")
    (tmp / "lost.csv").write_text("image,label\n1.png,cat\n2.png,dog\n")
    (tmp / "there.arrow").write_bytes(b"")
    (tmp / "text.arrow").write_text("no pack\n" * 9)
    table = pa.table({"image": [b"x"], "label": [0]})
    with pa.ipc.new_file(str(tmp / "foreign.arrow"), table.schema) as writer:
        writer.write_table(table)
    write_pack(DataConfig(source="digits"), tmp / "good.arrow")
    pack = (tmp / "good.arrow").read_bytes()
    (tmp / "cut.arrow").write_bytes(pack[: len(pack) // 2])
    (tmp / "recipes.py").write_text(
        "def broken():\n    return 1 / 0\n\n\ndef text():\n    return 'small'\n"
    )
    (tmp / "syntax.py").write_text("def mine(:\n")
    weights = (run / "best.safetensors").read_bytes()
    (tmp / "alone.safetensors").write_bytes(weights)
    (tmp / "cut.safetensors").write_bytes(weights[: len(weights) // 2])
    (tmp / "empty.safetensors").write_bytes(b"")
    np.savez(tmp / "variables.npz", a=np.zeros(3, np.float32))
    (tmp / "cut.npz").write_bytes((tmp / "variables.npz").read_bytes()[:100])
    (tmp / "model.ckpt-7.index").write_bytes(b"no checkpoint")
    shutil.copytree(run, tmp / "broken_recipe")
    (tmp / "broken_recipe" / "recipe.json").write_text('{"schema": 1,')
    shutil.copytree(run, tmp / "deleted")
    (tmp / "deleted" / "best.safetensors").unlink()
    DeletedWeights(keep_weights="full", seed=3).write(tmp / "deleted")
    (tmp / "broken_study").mkdir()
    (tmp / "broken_study" / "study.json").write_text('{"schema": 1,')
