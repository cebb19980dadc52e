"""Measure the step of `small` on small images beside a plain loop and timm's, by instruction set.

python benchmarks/small_maps.py           digits (16 px), 32 and 64 px; with what the processor has,
                                          and with oneDNN kept to fewer instructions
python benchmarks/small_maps.py --quick   two rounds, two sizes, one set: printed and not kept

Networks end on maps of 2x2 pixels there, whose weight gradients can be half of the time. All sides
train the same network with the same initial weights on the same bytes. `ours` is the step of the
recipe, its tricks included; the others do not mix, smooth or warm up. `ONEDNN_MAX_CPU_ISA` keeps
oneDNN from instructions that a processor has: bf16 is used in the sets that have it, as in runs.
Times are the processor's.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from step_sides import Setting, built_run, our_step, plain_step, random_batch, timm_step
from trials import keep
from trickbag import recipes
from trickbag.data.dataset import prepare
from trickbag.train.machine.device import choose_layout, choose_precision
from trickbag.train.machine.small_maps import ProductConv2d
from turns import beside, in_turns, keep_memory

SIZES = {16: "the digits", 32: "32 px", 64: "64 px"}
SETS = ("AVX2", "AVX512_CORE", "AVX512_CORE_BF16")
"""Sets of instructions from few to many, beside all that the processor has."""

WITH_BF16 = ("AVX512_CORE_BF16", "")


def sets_here() -> list[str]:
    """Return the sets that this processor goes beyond, the largest last: empty for all it has."""
    has = torch.cpu.get_capabilities()
    names = ["AVX2"] if has.get("avx512_f") else []
    names += ["AVX512_CORE"] if has.get("avx512_bf16") or has.get("amx_bf16") else []
    names += ["AVX512_CORE_BF16"] if has.get("amx_bf16") else []
    return [*names, ""]


def measured(isa: str, pixels: int, rounds: int) -> dict[str, Any]:
    """Return a row of one image size, in this process."""
    precision = choose_precision("auto", "cpu") if isa in WITH_BF16 else "float32"
    low = Setting(
        network="resnet18d",
        pixels=pixels,
        classes=10,
        precision=precision,
        channels_last=choose_layout(precision, "cpu") == "channels_last",
    )
    exact = replace(low, precision="float32", channels_last=False)
    recipe = recipes.small()
    recipe = recipe.set("training.batch_size", "32").without("mixed_precision")
    run = built_run(recipe, prepare(recipe.data), low)
    raw = random_batch(low)

    def network() -> torch.nn.Module:
        # Without the matrix products of ours, and its hooks for a fault of oneDNN.
        twin = copy.deepcopy(run.network)
        for module in twin.modules():
            module._forward_pre_hooks.clear()
            if isinstance(module, ProductConv2d):
                module.__class__ = torch.nn.Conv2d
        return twin

    jobs = {
        "ours": our_step(run, raw),
        "plain, float32": plain_step(network(), exact, raw),
        "timm, float32": timm_step(exact, raw, network()),
    }
    if precision != "float32":
        jobs["plain, bf16, channels last"] = plain_step(network(), low, raw)
        jobs["timm, bf16, channels last"] = timm_step(low, raw, network())
    seconds = in_turns(jobs, rounds, "cpu", time.process_time)
    return {
        "instructions": isa or "all",
        "pixels": pixels,
        "batch": low.batch,
        "precision": precision,
        "images_per_s": {name: low.batch / median(times) for name, times in seconds.items()},
        "times_as_fast": {
            name: beside(seconds["ours"], times)
            for name, times in seconds.items()
            if name != "ours"
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--instructions", choices=(*SETS, ""), help=argparse.SUPPRESS)
    args = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    sizes = [16, 32] if args.quick else [*SIZES]
    rounds = 2 if args.quick else args.rounds
    if args.instructions is not None:
        for pixels in sizes:
            print(json.dumps(measured(args.instructions, pixels, rounds)), flush=True)
        return
    rows = []
    for isa in [""] if args.quick else sets_here()[::-1]:
        # oneDNN reads the variable once, when a process first computes.
        environment = os.environ | ({"ONEDNN_MAX_CPU_ISA": isa} if isa else {})
        command = [sys.executable, __file__, "--instructions", isa, "--rounds", str(rounds)]
        command += ["--quick"] * args.quick
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        print(done.stdout, end="", flush=True)
        rows += [json.loads(line) for line in done.stdout.splitlines()]
    if args.quick:
        return
    keep(
        "small_maps",
        f"a training step of `small` in batches of 32 beside plain loops of the same network, one "
        f"thread: medians and ranges of {rounds} rounds in turns, processor time",
        "benchmarks/small_maps.py",
        small_maps=rows,
        capabilities={
            name: bool(value)
            for name, value in torch.cpu.get_capabilities().items()
            if name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")
        },
    )


if __name__ == "__main__":
    main()
