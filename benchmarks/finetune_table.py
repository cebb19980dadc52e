"""The table of `benchmarks/finetune.py`: each way of adapting a network, on each data set."""

from __future__ import annotations

import statistics
from typing import Any

from table_cells import caption, plus_minus, table_row

__all__ = ["finetuning"]

NAMES = {
    "finetune": "recipe `finetune`",
    "plain": "plain loop",
    "probe": "linear probe",
    "lp_ft": "LP-FT",
    "scratch": "without weights",
}


def finetuning(result: dict[str, Any]) -> str:
    """Write top-1 and processor time of each way, and by how much the recipe is better."""
    heads = ("data", "way", "seeds", "top-1 %", "processor time of a run", "the recipe minus it")
    lines = [table_row(heads), "|---|---|---:|---:|---:|---:|"]
    for row in result["ways"]:
        data = f"{row['what']}: {row['train']:,} and {row['val']:,} images, {row['image_size']} px"
        for arm, top1 in row["top1"].items():
            seconds = statistics.median(run["cpu_s"] for run in row["runs"][arm])
            difference = row["differences"].get(arm)
            more = "" if difference is None else signed(difference)
            cells = (data, NAMES[arm], top1["n"], plus_minus(top1), f"{seconds:.0f} s", more)
            lines.append(table_row(cells))
            data = ""  # once for all ways
    return "\n".join([*lines, "", f"{caption(result)} {NOTE} Commit: {result['commit']}."])


NOTE = (
    "The plain loop trains by AdamW at a rate of 0.001 with cosine decay in batches of 64, as most "
    "tutorials do. The probe is logistic regression on standardised features, its penalty chosen "
    "by cross-validation; LP-FT starts from it, at a rate of 0.0001 with the statistics of the "
    "weights. Intervals are 95 % t intervals over seeds. A way that ran once has none: nothing in "
    "a probe is random, and its one result is compared with each seed of the recipe."
)


def signed(interval: dict[str, Any]) -> str:
    """Write a difference with its interval."""
    if interval["low"] is None:
        return f"{interval['mean']:+.2f}"
    return f"{interval['mean']:+.2f} ({interval['low']:+.2f} to {interval['high']:+.2f})"
