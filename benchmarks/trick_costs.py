"""Measure what each trick costs in a training step, by leaving it out.

python benchmarks/trick_costs.py                 ResNet-50 at 224 px, then `small`, on the CPU
python benchmarks/trick_costs.py --device cuda   the same compiled, in batches of 256
python benchmarks/trick_costs.py --quick         thin networks on small images: printed, not kept

The step with all tricks and the one without one of them take turns, on the same bytes in memory, in
the precision and layout of a run here. The ratio is that of their times: 1.02 is a cost of 2 %. On
the CPU times are the processor's, so that other work on the machine counts little. Reading images
is no part of it, and neither are tricks whose cost is their network's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from drawn_images import generated_folder
from step_sides import Setting, built_run, our_step, random_batch
from trials import keep
from trickbag.data.dataset import Dataset, prepare
from trickbag.models.config import model_config
from trickbag.recipe import Recipe
from trickbag.train.machine.device import choose_layout, choose_precision
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.drop_block import DropBlock
from trickbag.tricks.ema import Ema
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.pca_noise import PCANoise
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.sam import Sam
from turns import beside, in_turns, keep_memory

TRICKS = (
    NoBiasDecay(),
    ColorJitter(),
    PCANoise(),
    RandomErasing(),
    LabelSmoothing(),
    Mixup(),
    DropBlock(),
    Ema(),
)
CLIPPING = "clipping"
ADDED = (Sam(),)
"""Tricks that are added to all others in place of being left out: they change the whole step."""


def recipes(model: str, source: str, pixels: int) -> Iterator[tuple[str, Recipe, Recipe]]:
    """Yield a trick's name, and the recipes with it and without it."""
    bare = Recipe(name="costs", model=model_config(model), tricks=TRICKS)
    full = bare.set_all({"data.source": source, "training.clip_norm": "1"})
    if pixels < 64:  # blocks of 7 do not fit on maps of a few pixels
        full = full.set("tricks.drop_block.block_size", "1")
    yield "all of them", full, full.only().set("training.clip_norm", "none")
    for trick in TRICKS:
        yield trick.name, full, full.without(trick.name)
    yield CLIPPING, full, full.set("training.clip_norm", "none")
    for trick in ADDED:
        yield trick.name, full.plus(trick), full


def measured(
    model: str, dataset: Dataset, source: str, setting: Setting, rounds: int
) -> Iterator[dict[str, Any]]:
    """Yield a row for each trick."""
    raw = random_batch(setting)
    clock = time.perf_counter if setting.device == "cuda" else time.process_time
    for name, with_it, without in recipes(model, source, setting.pixels):
        jobs = {
            "ours": our_step(built_run(with_it, dataset, setting), raw),
            "without": our_step(built_run(without, dataset, setting), raw),
        }
        seconds = in_turns(jobs, rounds, setting.device, clock)
        del jobs
        torch.compiler.reset()
        yield {
            "trick": name,
            "network": model,
            "image_size": setting.pixels,
            "batch": setting.batch,
            "precision": setting.precision,
            "step_ms": 1000 * median(seconds["ours"]),
            "without_ms": 1000 * median(seconds["without"]),
            "times_as_long": beside(seconds["without"], seconds["ours"]),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--batch", type=int, help="of ResNet-50; default: 16, on a GPU 256")
    parser.add_argument("--rounds", type=int, help="of ResNet-50; default: 3, on a GPU 15")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    keep_memory()
    torch.set_num_threads(args.threads)
    on_gpu = args.device == "cuda"
    precision = choose_precision("auto", args.device)
    shared = Setting(
        device=args.device,
        precision=precision,
        channels_last=choose_layout(precision, args.device) == "channels_last",
        compiled=on_gpu,
    )
    cases = [
        # On a core a step of 64 images takes from 8 seconds (bf16, AMX) to half a minute.
        (
            "resnet50",
            replace(shared, batch=args.batch or (256 if on_gpu else 16)),
            args.rounds or (15 if on_gpu else 3),
        ),
        ("resnet18_d", replace(shared, pixels=16, classes=10, batch=32), 31),
    ]
    if args.quick:
        cases = [("resnet18_d", replace(shared, pixels=16, classes=10, batch=8), 3)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = str(generated_folder(Path(folder), 16, 32))
        dataset = prepare(Recipe().set("data.source", source).data)
        for model, setting, rounds in cases:
            for row in measured(model, dataset, source, setting, rounds):
                rows.append(row)
                print(json.dumps(row), flush=True)
    if args.quick:
        return
    where = "compiled" if on_gpu else f"{args.threads} thread{'s' * (args.threads > 1)}"
    keep(
        "trick_costs" + "_cuda" * on_gpu,
        f"a training step with a trick beside the same without it, {where}: medians and ranges of "
        "the rounds, in turns",
        f"benchmarks/trick_costs.py{' --device cuda' * on_gpu}",
        trick_costs=rows,
    )


if __name__ == "__main__":
    main()
