"""Tables of the training step: whole epochs, costs of tricks, small maps, the GPU, scaling."""

from __future__ import annotations

from statistics import median
from typing import Any

from table_cells import caption, median_and_range, or_dash, table_row

__all__ = [
    "busy_machine",
    "cifar_speed",
    "epochs",
    "exchanges",
    "gpu",
    "scaling",
    "small_maps",
    "trick_costs",
]


def epochs(result: dict[str, Any]) -> str:
    """Write the seconds of whole programs, and how many times as long others take as ours."""
    heads = ["side", "seconds", "times ours", "processor seconds", "times ours"]
    heads += ["training alone, s", "times ours"]
    lines = [table_row(heads), "|---" + "|---:|---" * 3 + "|"]
    for row in result["whole_epochs"]:
        cells = [row["side"]]
        for key in ("wall", "cpu", "train"):
            known = row[f"{key}_s"] is not None
            cells.append(or_dash(row[f"{key}_s"], 1))
            cells.append(median_and_range(row[f"{key}_ratio"]) if known else "-")
        lines.append(table_row(cells))
    left_out = "".join(f" Left out: {reason}." for reason in result["left_out"])
    text = f"{caption(result)} Commit: {result['commit']}.{left_out}"
    return "\n".join([*lines, "", text])


def busy_machine(result: dict[str, Any]) -> str:
    """Write the speed of runs that go on together, and how much of that of a run alone it is."""
    heads = ["situation", "run", "threads", "images/s", "share of a run alone"]
    lines = [table_row(heads), "|---|---:|---:|---:|---:|"]
    speeds = {
        row["situation"]: [
            [repetition["runs"][place] for repetition in row["repetitions"]]
            for place in range(len(row["repetitions"][0]["runs"]))
        ]
        for row in result["situations"]
    }
    alone = median(run["images_per_s"] for run in speeds["alone"][0])
    for situation, runs in speeds.items():
        for number, repetitions in enumerate(runs, 1):
            rates = sorted(run["images_per_s"] for run in repetitions)
            threads = "/".join(map(str, sorted({run["threads"] for run in repetitions})))
            rate = f"{median(rates):,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f})"
            share = f"{median(rates) / alone:.2f}"
            lines.append(table_row([situation, number, threads, rate, share]))
    loads = [r["load"] for row in result["situations"] for r in row["repetitions"]]
    text = f"{caption(result)} Other work used {min(loads):.2f} to {max(loads):.2f} cores just"
    return "\n".join([*lines, "", f"{text} before. Commit: {result['commit']}."])


def exchanges(result: dict[str, Any]) -> str:
    """Write the steps of several processes by how they sum their gradients."""
    heads = ["network", "gradients, MB", "ours, s", "DDP, s", "no sum, s"]
    heads += ["times as fast as DDP", "as no sum"]
    lines = [table_row(heads), "|---|---:|---:|---:|---:|---|---|"]
    for row in result["rows"]:
        seconds = [f"{row['step_s'][name]:.2f}" for name in ("ours", "ddp", "alone")]
        ratios = [median_and_range(row["times_as_fast"][name]) for name in ("ddp", "alone")]
        size = f"{row['gradient_bytes'] / 1e6:.0f}"
        lines.append(table_row([f"`{row['network']}`", size, *seconds, *ratios]))
    return "\n".join([*lines, "", f"{caption(result)} Commit: {result['commit']}."])


def cifar_speed(result: dict[str, Any]) -> str:
    """Write the seconds to an accuracy: those of ours by epochs, and the other's."""
    heads = ["side", "epochs", "test top-1 (%)", "reached", "training alone, s", "program, s"]
    lines = [table_row(heads), "|---|---:|---:|---|---:|---:|"]
    for row in result["cifar_speed"]:
        cells = [row["side"], row["epochs"] or "-", f"{row['test_top1']:.2f}"]
        cells += ["yes" if row["reaches"] else "no", f"{row['train_s']:.1f}"]
        lines.append(table_row([*cells, f"{row['wall_s']:.1f}"]))
    left_out = "".join(f" Left out: {reason}." for reason in result["left_out"])
    return "\n".join([*lines, "", f"{caption(result)} Commit: {result['commit']}.{left_out}"])


def trick_costs(result: dict[str, Any]) -> str:
    """Write how many times as long a step takes with a trick as without it, by network."""
    measured = result["trick_costs"]
    networks = list(dict.fromkeys((row["network"], row["image_size"]) for row in measured))
    rows = {(row["network"], row["trick"]): row for row in measured}
    heads = ["trick"]
    for network, pixels in networks:
        first = next(row for row in measured if row["network"] == network)
        heads.append(f"`{network}`, {pixels} px, batch {first['batch']}, {first['precision']}")
    lines = [table_row(heads), "|---" * len(heads) + "|"]
    for trick in dict.fromkeys(row["trick"] for row in measured):
        cells = (rows[network, trick]["times_as_long"] for network, _ in networks)
        lines.append(table_row([trick, *map(median_and_range, cells)]))
    return "\n".join([*lines, "", f"{caption(result)} Commit: {result['commit']}."])


def small_maps(result: dict[str, Any]) -> str:
    """Write how many times as fast a step on small images is as others, by instruction set."""
    others = list(dict.fromkeys(n for row in result["small_maps"] for n in row["times_as_fast"]))
    heads = ["instructions", "pixels", "ours, images/s", *others]
    lines = [table_row(heads), "|---|---:|---:" + "|---" * len(others) + "|"]
    for row in result["small_maps"]:
        cells = [row["instructions"], row["pixels"], f"{row['images_per_s']['ours']:,.1f}"]
        for name in others:
            ratio = row["times_as_fast"].get(name)
            cells.append("-" if ratio is None else median_and_range(ratio))
        lines.append(table_row(cells))
    has = [name for name, there in result["capabilities"].items() if there]
    text = f"{caption(result)} The processor has {', '.join(has)}. Commit: {result['commit']}."
    return "\n".join([*lines, "", text])


def gpu(result: dict[str, Any]) -> str:
    """Write a part of the GPU check, with its error if it has one."""
    lines = []
    if result["rows"]:
        rows = [_flat(row) for row in result["rows"]]
        heads = list(dict.fromkeys(key for row in rows for key in row))
        lines += [table_row(heads), "|---" * len(heads) + "|"]
        lines += [table_row(_cell(row.get(key)) for key in heads) for row in rows]
    error = f" It failed: {result['error']}." if result["error"] else ""
    text = f"{caption(result)} {result['seconds']:.0f} s.{error} Commit: {result['commit']}."
    return "\n".join([*lines, "", text])


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the values of inner mappings beside the others; a ratio stays one value."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        words = key.replace("_", " ")
        if isinstance(value, dict) and "median" not in value:
            flat |= {f"{words}: {inner.replace('_', ' ')}": each for inner, each in value.items()}
        else:
            flat[words] = value
    return flat


def _cell(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return median_and_range(value)
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


PARAMETERS = 25.56e6
"""Those of ResNet-50, which the table of scaling is about."""

IMAGE_BYTES = 114e3
"""The bytes of an image of ImageNet, in the mean."""

LINKS = {"NVLink, 450 GB/s": 450e9, "InfiniBand, 50 GB/s": 50e9, "Ethernet, 3 GB/s": 3e9}
"""Bytes a second that a GPU can send while it receives as many."""


def all_reduce_s(parameters: float, processes: int, bytes_per_s: float) -> float:
    """Return the seconds of a ring all-reduce of float32 gradients.

    Each process sends 2 (n - 1) / n of their bytes (Patarasuk & Yuan 2009, Journal of Parallel and
    Distributed Computing 69, section 4).
    """
    return 2 * (processes - 1) / processes * 4 * parameters / bytes_per_s


def scaling(images_per_s: float = 2500.0, batch: int = 256) -> str:
    """Write on paper what 8 and 64 GPUs cost in communication and in reading."""
    heads = ["GPUs", "all-reduce, MB a GPU", *LINKS, "images, GB/s"]
    lines = [table_row(heads), "|---:" * len(heads) + "|"]
    step_s = batch / images_per_s
    for processes in (8, 64):
        cells: list[object] = [processes, f"{all_reduce_s(PARAMETERS, processes, 1.0) / 1e6:.0f}"]
        for speed in LINKS.values():
            seconds = all_reduce_s(PARAMETERS, processes, speed)
            cells.append(f"{1000 * seconds:.1f} ms, {100 * seconds / step_s:.1f} %")
        cells.append(f"{processes * images_per_s * IMAGE_BYTES / 1e9:.1f}")
        lines.append(table_row(cells))
    return "\n".join(lines)
