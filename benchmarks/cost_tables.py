"""Tables of speed and cost, and of what an attack came to."""

from __future__ import annotations

from typing import Any

from table_cells import caption, median_and_range, plus_minus, table_row


def attack(result: dict[str, Any]) -> str:
    """Write what the tries of the attack came to; the last columns are what must not occur."""
    verdicts = {
        "refused": ("refused",),
        "same or as meant": ("same", "same bits", "as meant", "goes on"),
        "other pixels": ("other pixels",),
        "silent": ("silent",),
        "traceback": ("traceback",),
        "crash": ("crash",),
        "no end, slow, or much memory": ("hang", "slow", "memory"),
        "process left": ("orphan",),
        "wrong exit code": ("wrong exit",),
    }
    heads = ["attacked", "tries", *verdicts]
    lines = [table_row(heads), "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in result["attacked"]:
        counts = [
            sum(row["verdicts"].get(name, 0) for name in names) for names in verdicts.values()
        ]
        lines.append(table_row([row["kind"], row["tries"], *counts]))
    text = f"{caption(result)} Seed {result['seed']}, {result['seconds']} s, at commit "
    return "\n".join([*lines, "", f"{text}{result['commit']}."])


def listing(result: dict[str, Any]) -> str:
    """Write how long a listing takes without and with the cache, each in a process of its own."""
    lines = [table_row(["listing", "images", "seconds"]), "|---|---:|---:|"]
    forms = {
        "fresh": "without the cache",
        "first": "the first time, which writes the cache",
        "again": "the next time",
    }
    for name, text in forms.items():
        lines.append(table_row([text, f"{result[name]['images']:,}", f"{result[name]['s']:.2f}"]))
    return "\n".join([*lines, "", f"{caption(result)} Commit: {result['commit']}."])


def packs(result: dict[str, Any]) -> str:
    """Write how large packs are, and how many images a core packs in a second."""
    lines = [
        table_row(["pack", "KB an image", "1,281,167 images, GB", "images/s of a core"]),
        "|---|---:|---:|---:|",
    ]
    for row in result["packs"]:
        size, speeds = row["bytes_per_image"], [row["images"] / s for s in row["cpu_s"]]
        rate = f"{row['images_per_cpu_s']:,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})"
        cells = [row["encoding"], f"{size / 1e3:,.1f}", f"{size * 1_281_167 / 1e9:,.0f}", rate]
        lines.append(table_row(cells))
    text = f"{caption(result)} Rates are medians and ranges of {len(result['packs'][0]['cpu_s'])}"
    return "\n".join([*lines, "", f"{text}, by processor time. Commit: {result['commit']}."])


def data_paths(result: dict[str, Any]) -> str:
    """Write how fast training images are loaded by each path, beside torchvision on Pillow."""
    heads = ["images", "decoder", "images/s", "times as fast as torchvision on Pillow"]
    lines = [table_row(heads), "|---|---|---:|---|"]
    titles = {
        "original": "as they are",
        "packed_jpeg": "pack of JPEGs",
        "packed_raw": "pack of pixels",
    }
    for run in result["data_paths"]:
        decoder = "TurboJPEG, the crop alone" if run["region_decoding"] else "simplejpeg, rows"
        # Results of before the setting have no such key.
        scaled = run.get("dct_scaling", False)
        if scaled:
            decoder += ", `data.dct_scaling`"
        for path in run["paths"]:
            if path["name"] == "packed_raw" and not run["region_decoding"]:
                continue
            # Images of a pack are small: their crops are seldom scaled down so far.
            if path["name"] != "original" and scaled:
                continue
            ratio = {
                "median": path["ratio"],
                **dict(zip(("low", "high"), path["ratio_quartiles"], strict=True)),
            }
            cells = [titles[path["name"]], decoder, f"{path['images_per_s']:,.0f}"]
            if path["name"] == "packed_raw":
                cells[1] = "none"
            lines.append(table_row([*cells, median_and_range(ratio)]))
    text = f"{caption(result)} Processor time; in brackets the quartiles of the rounds."
    if difference := result.get("dct_difference"):
        low, high = difference["quartiles"]
        text += (
            f" With `data.dct_scaling` {difference['scaled']} of {difference['crops']} crops are "
            f"decoded smaller; their pixels differ by {difference['levels']:.1f} of 255 levels in "
            f"the mean over a crop (median of the crops; quartiles {low:.1f} to {high:.1f})."
        )
    return "\n".join([*lines, "", f"{text} Commit: {result['commit']}."])


def loaders(result: dict[str, Any]) -> str:
    """Write how soon and how fast threads and worker processes give batches."""
    names = {"original": "as they are", "packed_jpeg": "pack of JPEGs", "packed_raw": "of pixels"}
    heads = ["images", "workers", "first batch, s", "images/s"]
    lines = [table_row(heads), "|---|---|---:|---:|"]
    for row in result["loader_workers"]:
        low, high = row["images_per_s_quartiles"]
        workers = f"{row['workers']} {row['kind']}" if row["kind"] else "none"
        rate = f"{row['images_per_s']:,.0f} ({low:,.0f} to {high:,.0f})"
        lines.append(
            table_row([names[row["images"]], workers, f"{row['first_batch_s']:.2f}", rate])
        )
    rounds = result["loader_workers"][0]["rounds"]
    text = f"{caption(result)} Medians of {rounds} rounds in turns; in brackets the quartiles."
    return "\n".join([*lines, "", f"{text} Commit: {result['commit']}."])


def rates(result: dict[str, Any]) -> str:
    """Write our rates in images/s, and how many times as fast that is as others."""
    others = list(result["rows"][0]["times_as_fast"])
    key, digits = ("policy", 0) if "policy" in result["rows"][0] else ("network", 2)
    heads = [key, "pixels", "ours, images/s", *(f"times as fast as {name}" for name in others)]
    lines = [table_row(heads), "|---" * len(heads) + "|"]
    for row in result["rows"]:
        ours = f"{row['images_per_s']['ours']:,.{digits}f}"
        ratios = (median_and_range(row["times_as_fast"][name]) for name in others)
        lines.append(table_row([f"`{row[key]}`", row["image_size"], ours, *ratios]))
    return "\n".join([*lines, "", caption(result)])


def pairs(result: dict[str, Any]) -> str:
    """Write networks beside others, each at its own image size, with the published ratio."""
    heads = ["network", "beside", "images/s", "images/s of the other", "times as fast", "published"]
    lines = [table_row(heads), "|---" * len(heads) + "|"]
    for row in result["rows"]:
        rate = row["images_per_s"]
        cells = [
            f"`{row['network']}`, {row['image_size']} px",
            f"`{row['beside']}`, {row['beside_size']} px",
            f"{rate['ours']:.2f}",
            f"{rate['other']:.2f}",
            median_and_range(row["times_as_fast"]["other"]),
            f"{row['published']:.2f}",
        ]
        lines.append(table_row(cells))
    return "\n".join([*lines, "", caption(result)])


def predictions(result: dict[str, Any]) -> str:
    """Write ways to evaluate a network, each beside the reference of its kind."""
    lines = [table_row(["way", "images/s", "times as fast"]), "|---|---:|---|"]
    for row in result["evaluated"]:
        ratio = median_and_range(row["times_as_fast"])
        lines.append(table_row([row["way"], f"{row['images_per_s']:.2f}", ratio]))
    return "\n".join([*lines, "", f"{caption(result)} Commit: {result['commit']}."])


def operations(result: dict[str, Any]) -> str:
    """Write operations on batches: the time of each other side over ours, by image size."""
    sizes = {f"{row['pixels']} px, {row['batch']} images": row["pixels"] for row in result["rows"]}
    lines = [
        table_row(["operation", "beside", *sizes]),
        "|---|---" + "|---:" * len(sizes) + "|",
    ]
    rows = {(row["operation"], row["beside"], row["pixels"]): row for row in result["rows"]}
    for operation, beside in dict.fromkeys((name, other) for name, other, _ in rows):
        cells = []
        for pixels in sizes.values():
            row = rows[operation, beside, pixels]
            low, high = row["ratios"]
            cells.append(f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})")
        lines.append(table_row([operation, beside, *cells]))
    return "\n".join([*lines, "", caption(result)])


def overhead(result: dict[str, Any]) -> str:
    """Write the time of a study, beside that of a shell loop if there was one."""
    heads = ["study, s", "its trials' runs / workers, s", "above them, %"]
    with_loop = "ratio" in result
    heads += ["shell loop, s", "study / loop"] if with_loop else []
    lines = [table_row(heads), "|---" * len(heads) + "|"]
    for row in result["repetitions"]:
        study = row["study"]
        cells = [f"{study['wall_s']:.1f}", f"{study['run_s'] / result['workers']:.1f}"]
        cells.append(f"{100 * study['overhead_over_runs']:.1f}")
        cells += [f"{row['loop']['wall_s']:.1f}", f"{row['ratio']:.3f}"] if with_loop else []
        lines.append(table_row(cells))
    return "\n".join([*lines, "", caption(result)])


def upper_median(runs: list[dict[str, Any]], key: str) -> float:
    """Return the median over runs; of two runs the larger value."""
    return float(sorted(run[key] for run in runs)[len(runs) // 2])


def comparison(result: dict[str, Any]) -> str:
    """Write the arms of a comparison; two arms also with their paired difference."""
    heads = ["training", "seeds", "last top-1 % (mean, 95 % t interval)", "training time, median"]
    costs = {}
    if len(result["arms"]) > 2:  # these comparisons are about cost
        costs = {"images/s": "train_throughput", "whole run, s": "run_time_s"}
    heads += [f"{head}, median" for head in costs]
    lines = [table_row(heads), "|---" * len(heads) + "|"]
    for arm in result["arms"]:
        runs = arm["runs"]
        cells = [f"`{arm['label']}`", str(len(runs)), plus_minus(arm["top1"])]
        cells.append(f"{upper_median(runs, 'train_time_s'):.0f} s")
        cells += [f"{upper_median(runs, key):.0f}" for key in costs.values()]
        lines.append(table_row(cells))
    commits = sorted({run["commit"] for arm in result["arms"] for run in arm["runs"]})
    text = f"{caption(result)} Top-1 is that of the last epoch. Commit: {', '.join(commits)}."
    if "difference_top1" in result:
        first, second = (arm["label"] for arm in result["arms"])
        ratios = result["time_ratio"]
        text += (
            f" Paired difference, `{first}` minus `{second}`: "
            f"{plus_minus(result['difference_top1'])} points; ratio of training times: "
            f"median {ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})."
        )
    return "\n".join([*lines, "", text])
