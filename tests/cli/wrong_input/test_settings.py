"""Settings of the wrong type, out of range or too large, and devices that are not here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.cli.wrong_input.lines import Check, wrong_lines

if TYPE_CHECKING:
    from pathlib import Path

Call = Any

VALUES = [
    *[
        (f"train --epochs {value}", ["training.epochs", value, "whole number at least 1"])
        for value in ("0", "-1", "x", "1.5")
    ],
    *[
        (f"train --image-size {value}", ["data.image_size", value, "at least 8"])
        for value in ("7", "4", "0", "-16")
    ],
    ("train --image-size big", ["data.image_size = 'big'", "whole number"]),
    *[
        (f"train --image-size {value}", ["data.image_size", value, "or 2 of them, such as 128x128"])
        for value in ("64x", "64x64x64", "4x64", "64x4", "64xbig", "64:128", "64x20000")
    ],
    ("train --set data.resize=pad", ["data.resize = 'pad'", "crop, squash, letterbox or none"]),
    ("train --set data.default_size=8x16", ["data.default_size = '8x16'", "whole number"]),
    *[
        (f"train --batch-size {value}", ["training.batch_size", value, "whole number"])
        for value in ("0", "-4", "2.5", "x")
    ],
    ("train --set training.lr=nan", ["training.lr", "nan", "number above 0"]),
    ("train --set training.lr=inf", ["training.lr", "inf", "number above 0"]),
    ("train --set training.lr=0", ["training.lr", "above 0"]),
    ("train --set training.weight_decay=-1", ["training.weight_decay", "at least 0"]),
    (
        "train --set training.precision=int8",
        ["training.precision = 'int8'", "float32, auto, auto_on_gpu, bf16, fp16"],
    ),
    ("train --set training.optimizer=adam", ["training.optimizer = 'adam'", "adamw"]),
    ("train --set training.optimizer=sgd:momentum=2", ["momentum = 2.0"]),
    ("train --set training.accumulate=64", ["training.accumulate = 64", "batch of 32"]),
    (
        "train --set data.crop_area=1,0.5",
        ["data.crop_area", "first value must not be above the second"],
    ),
    ("train --set data.val_fraction=1", ["data.val_fraction", "1 (excluded)"]),
    ("train --set data.eval_ratio=0", ["data.eval_ratio = 0", "above 0"]),
    ("train --set data.flip_prob=2", ["data.flip_prob", "from 0 to 1"]),
    ("train --set data.channels=1.5", ["data.channels = '1.5'"]),
    ("train --set data.channels=some", ["data.channels = 'some'", "all"]),
    ("train --set data.channels=0,0", ["data.channels = 0,0", "each once"]),
    ("train --set data.channels=9999", ["data.channels", "9999"]),
    ("train --set data.pixel_range=9,1", ["data.pixel_range = 9,1", "below the second"]),
    ("train --set data.pixel_range=9", ["data.pixel_range", "2 values"]),
    ("train --set data.pixel_range=a,b", ["data.pixel_range"]),
    ("train --set data.mean=1,2", ["data.mean has 2 values", "3 channels"]),
    ("train --set data.workers=-1", ["data.workers", "at least 0"]),
    ("train --set model.depth=20", ["model.depth", "one of 18, 34, 50"]),
    ("train --set model.in_channels=1", ["in_channels = 1", "3 channels", "data.channels"]),
    (
        "train --image-size 8 --batch-size 1",
        ["one image at a time", "would see one value a channel", "--batch-size"],
    ),
    ("train --set schedule.decay=linear", ["schedule.decay = 'linear'", "cosine"]),
    ("train --set tricks.mixup.alpha=0", ["tricks.mixup.alpha", "above 0"]),
    ("train --set tricks.pca_noise.std=1", ["no trick 'pca_noise'"]),
    ("train --set tricks.mixup", ["must be of the form PATH=VALUE"]),
    ("train --set tricks.mixup=1", ["tricks.mixup"]),
    ("train --set training=1", ["no setting 'training'", "training.lr"]),
    ("train --set training.epoch=1", ["training has no setting 'epoch'", "epochs"]),
    ("train --set training.lr.x=1", ["training.lr", "no settings of its own"]),
    ("train --set optimizer.lr=1", ["no setting 'optimizer.lr'", "training.lr"]),
    ("train --set =1", ["no setting ''"]),
    ("train --seed x", ["--seed = 'x'", "whole number"]),
    ("train --seed 1.5", ["--seed = '1.5'", "whole number"]),
    ("train --device tpu", ["training.device = 'tpu'", "auto, cpu, cuda"]),
    ("train --set data.hold_images=x", ["data.hold_images = 'x'", "true or false"]),
    ("train --set data.worker_kind=x", ["data.worker_kind = 'x'", "threads, processes"]),
]

# Numbers that would take memory or time without end.
HUGE = [
    *[
        (f"train {option}", [*names, "at most"])
        for option, *names in (
            (f"--seed {10**20}", "--seed"),
            (f"--epochs {10**9}", "training.epochs", "100,000"),
            (f"--batch-size {10**12}", "training.batch_size"),
            (f"--image-size {10**6}", "data.image_size", "16,384"),
            (f"--set data.workers={10**6}", "data.workers"),
            ("--set training.threads=100000", "training.threads", "1,024"),
            ("--set model.depth_factor=1e6", "model.depth_factor", "16"),
            (f"--with warmup:epochs={10**9}", "warmup.epochs"),
        )
    ],
    *[
        (f"study {option}", [option.split()[0], "at most"])
        for option in (
            f"--seeds {10**9}",
            f"--add-seeds {10**9}",
            f"--retries {10**9}",
            f"--workers {10**9}",
            f"--budget {'9' * 400}h",
        )
    ],
    ("study --dry-run --sd 1e308", ["--sd", "at most"]),
    ("study --seeds 1e308", ["--seeds", "whole number"]),
    (f"study --shard 1/{'9' * 5000}", ["--shard", "I/N"]),
    (f"evaluate {{run}} --workers {10**9}", ["--workers", "at most"]),
    (f"evaluate {{run}} --batch-size {10**9}", ["--batch-size", "at most"]),
    (f"predict {{run}} {{photos}} --batch-size {10**9}", ["--batch-size", "at most"]),
    (f"predict {{run}} {{photos}} --top {10**9}", ["--top", "at most"]),
]


@wrong_lines(VALUES, HUGE)
def test_wrong_input_is_one_line_and_exit_2(line: str, says: list[str], check: Check) -> None:
    check(line, says)


@pytest.mark.parametrize(("device", "says"), [("cuda", "no CUDA device"), ("mps", "(MPS)")])
@pytest.mark.parametrize(
    "line", ["train", "show", "evaluate {run}", "predict {run} {photos}", "study --dry-run"]
)
def test_a_device_that_is_not_here(
    line: str,
    device: str,
    says: str,
    places: dict[str, Path],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = call(
        *line.format(**places).split(), "--device", device, *["--out", "x"] * (line == "train")
    )
    assert code == 2
    assert says in err
    assert "--device cpu" in err
    assert err.count("\n") == 1
