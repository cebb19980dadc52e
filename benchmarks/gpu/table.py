"""The table of the papers on one GPU: ResNet-50 at 224 px by precision and batch, beside timm's.

He et al. 2018, table 3: an epoch in 13.3 minutes in float32 with batches of 256, and in 4.4 with
half precision and batches of 1024: 3 times as fast.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import torch

from gpu.check import Check
from roofline import StepBound, measured_peaks
from step_sides import (
    Setting,
    built_run,
    float32_precision,
    our_step,
    random_batch,
    timm_step,
)
from trickbag.data.dataset import prepare
from trickbag.models.config import model_config
from trickbag.recipe import Recipe
from trickbag.train.machine.device import autocast_dtype
from turns import beside, in_turns

__all__ = ["table"]

PUBLISHED = {"float32": 1.0, "low": 13.3 / 4.4}
"""How many times as fast as the first row an epoch is in the paper."""


def settings(check: Check) -> list[tuple[str, Setting]]:
    """Return the rows in the order in which they are measured: the most telling one first."""
    size: dict[str, Any] = {"device": check.device}
    low, batch, larger = "bf16", 256, 1024
    if check.tiny:
        size |= {"network": "resnet18", "pixels": 32, "classes": 10}
        batch, larger = 4, 8
    compiled = not check.tiny
    return [
        (
            "low",
            Setting(batch=larger, precision=low, channels_last=True, compiled=compiled, **size),
        ),
        ("float32", Setting(batch=batch, compiled=compiled, **size)),
        ("TF32", Setting(batch=batch, tf32=True, channels_last=True, compiled=compiled, **size)),
    ]


def table(check: Check) -> list[dict[str, Any]]:
    """Measure a step of each row, ours and timm's in turns, beside the bound of its work."""
    recipe = Recipe(name="step", model=model_config(settings(check)[0][1].network))
    recipe = recipe.set_all({"data.source": check.source, "model.small_stem": "never"})
    dataset = prepare(recipe.data)
    rows: list[dict[str, Any]] = []
    for name, setting in settings(check):
        with float32_precision(tf32=setting.tf32):
            rows.append({"row": name} | _row(check, recipe, dataset, setting))
        check.leave(rows)
    first = next(row for row in rows if row["row"] == "float32")
    for row in rows:
        row["times_as_fast_as_float32"] = (
            row["images_per_s"]["ours"] / first["images_per_s"]["ours"]
        )
        row["published"] = PUBLISHED.get(row["row"])
    return rows


def _row(check: Check, recipe: Recipe, dataset: Any, setting: Setting) -> dict[str, Any]:
    raw = random_batch(setting)
    run = built_run(recipe, dataset, setting)
    jobs = {"ours": our_step(run, raw), "timm": timm_step(setting, raw)}
    peaks_gib = {}
    for name, job in jobs.items():
        check.reset_peak()
        job()
        check.wait()
        used = check.peak_bytes()
        peaks_gib[name] = None if used is None else used / 2**30
    seconds = in_turns(jobs, 3 if check.tiny else 15, check.device)
    side, megabytes = (256, 16) if check.tiny else (8192, 2048)
    dtype = autocast_dtype(setting.precision) or torch.float32  # type: ignore[arg-type]
    peaks = measured_peaks(check.device, dtype, side=side, megabytes=megabytes)
    bound = _bound(setting, raw, peaks)
    del jobs, run
    torch.compiler.reset()
    if check.device == "cuda":
        torch.cuda.empty_cache()
    ours_s = median(seconds["ours"])
    return {
        "network": setting.network,
        "image_size": setting.pixels,
        "batch": setting.batch,
        "precision": setting.precision,
        "tf32": setting.tf32,
        "compiled": setting.compiled,
        "images_per_s": {name: setting.batch / median(each) for name, each in seconds.items()},
        "times_as_fast": beside(seconds["ours"], seconds["timm"]),
        "peak_gib": peaks_gib,
        "tflop": bound.flops / 1e12,
        "gb": bound.bytes / 1e9,
        "peak_tflop_per_s": peaks.flops_per_s / 1e12,
        "peak_gb_per_s": peaks.bytes_per_s / 1e9,
        "bound_s": bound.bound_s,
        "fraction_of_bound": bound.bound_s / ours_s,
    }


def _bound(setting: Setting, raw: Any, peaks: Any) -> StepBound:
    """Count the work of a step: that of timm's, which has no operations of our own around it."""
    eager = timm_step(Setting(**{**setting.__dict__, "compiled": False}), raw)
    with StepBound(peaks) as bound:
        eager()
    return bound
