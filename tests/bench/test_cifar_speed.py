"""The seconds to an accuracy: what the script gives to the other side, and takes of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]

TABLE = """\
------------------------------------------------------------------------
|  run   |  epoch  |  train_acc  |  val_acc  |  tta_val_acc  |  time  |
------------------------------------------------------------------------
|     1  |      9  |     0.9512  |   0.9331  |               |  3.71  |
|     1  |   eval  |     0.9512  |   0.9331  |       0.9406  |  3.83  |
|     2  |   eval  |     0.9498  |   0.9322  |       0.9398  |  3.79  |
Mean: 0.9402    Std: 0.0014
"""


def test_both_sides_have_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import cifar_speed
    from drawn_images import generated_folder

    images = generated_folder(tmp_path / "images", 8, 32)
    (images / "val").rename(images / "test")
    cifar_speed.write_tensors(str(images), tmp_path / "cifar10")
    for name, count in (("train", 8), ("test", 4)):
        # As the other side loads it: no pickle of a class.
        state = torch.load(tmp_path / "cifar10" / f"{name}.pt", weights_only=True)
        assert state["images"].shape == (count, 32, 32, 3)
        assert state["images"].dtype == torch.uint8
        assert sorted(set(state["labels"].tolist())) == [0, 1, 2, 3]
        assert state["classes"][0] == "stripes0"
    assert cifar_speed.evaluations(TABLE) == [
        {"test_top1": pytest.approx(94.06), "train_s": 3.83},
        {"test_top1": pytest.approx(93.98), "train_s": 3.79},
    ]
    del sys.modules["cifar_speed"]
