"""Tables of what evaluations measure: corruptions, stability, calibration, localization, views."""

from __future__ import annotations

from typing import Any

from table_cells import caption, median_and_range, or_dash, plus_minus, table_row


def augmentation(result: dict[str, Any]) -> str:
    """Write what each test-time augmentation gains for each network, and what averages gain."""
    heads = ["network", "images", "views", "top-1", "gain", "95 % interval", "images/s"]
    lines = [table_row(heads), "|---|---:|---|---:|---:|---:|---:|"]
    for row in result["augmented"]:
        before = [row["label"], row["images"], "none", f"{row['top1']:.2f} %", "", "", "100 %"]
        lines.append(table_row(before))
        for gain in row["gains"]:
            speed = "" if gain["speed"] is None else f"{100 * gain['speed']:.0f} %"
            interval = f"{gain['low']:+.2f} to {gain['high']:+.2f}"
            cells = ["", "", f"{gain['name']} ({gain['views']})", f"{gain['top1']:.2f} %"]
            lines.append(table_row([*cells, f"{gain['gain']:+.2f}", interval, speed]))
    lines += ["", "| average | images | top-1 alone | top-1 | gain over the best | 95 % interval |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for row in result["averages"]:
        alone = ", ".join(f"{value:.2f} %" for value in row["top1_alone"])
        cells = [row["label"], row["images"], alone, f"{row['top1']:.2f} %"]
        interval = f"{row['low']:+.2f} to {row['high']:+.2f}"
        lines.append(table_row([*cells, f"{row['gain_over_best']:+.2f}", interval]))
    busy = " Other work ran beside it: the speeds are rough." if result.get("busy") else ""
    return "\n".join([*lines, "", f"{caption(result)}{busy} Commit: {result['commit']}."])


def robustness(result: dict[str, Any]) -> str:
    """Write errors on corrupted images, ours above the published ones."""
    columns = ("clean_error", "mean_corruption_error", "mce", "relative_mce", "mce_19")
    heads = ["network", "images", "px", "parameters", "clean error", "mean error", "mCE"]
    heads += ["relative mCE", "mCE of 19"]
    lines = [table_row(heads), "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in result["robustness"]:
        settings, metrics = row["settings"], row["metrics"]
        cells = [row["network"], row["images"], settings["image_size"][0], settings["table"]]
        lines.append(table_row([*cells, *(or_dash(metrics[name], 1) for name in columns)]))
    for row in result["published"]:
        cells = [f"{row['network']} ({row['source']})", "50,000", row["size"], "imagenet_c"]
        lines.append(table_row([*cells, "", "", f"{row['mce']:.1f}", "", ""]))
    notes = [note for row in result["robustness"] for note in row["notes"] if "frost" in note]
    text = f"{caption(result)} Commit: {_commits(result['robustness'])}."
    sentences = [f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(notes)]
    return "\n".join([*lines, "", " ".join([text, *sentences])])


def corruptions(result: dict[str, Any]) -> str:
    """Write speed and likeness of corrupted images beside imagecorruptions."""
    heads = ["corruption", "ours, images/s", "imagecorruptions, images/s", "times as fast"]
    heads += ["mean", "deviation", "spectrum, dB", "values off by more than a level, %"]
    lines = [table_row(heads), "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in result["corruptions"]:
        rates = (row["images_per_s"][side]["median"] for side in ("ours", "imagecorruptions"))
        cells = [f"`{row['corruption']}`", *(f"{rate:,.1f}" for rate in rates)]
        cells += [median_and_range(row["times_as_fast"]), *likeness(row["statistics"])]
        shares = [100 * severity["share_above_1"] for severity in row["values"]]
        cells.append(f"{max(shares):.2f}" if shares else "-")
        lines.append(table_row(cells))
    overall = result["times_as_fast"]
    versions = ", ".join(f"{name} {version}" for name, version in result["other_versions"].items())
    text = (
        f"All together: {median_and_range(overall['all'])} times as fast; without `glass_blur`: "
        f"{median_and_range(overall['without_glass_blur'])}. {caption(result)} Beside it: "
        f"{versions}."
    )
    return "\n".join([*lines, "", text])


def likeness(statistics: list[dict[str, Any]]) -> list[str]:
    """Return the largest differences over severities: mean and deviation in levels, power in dB."""
    pairs = [(row["ours"], row["imagecorruptions"]) for row in statistics]
    differences = [
        max(abs(ours["mean"] - other["mean"]) for ours, other in pairs),
        max(abs(ours["std"] - other["std"]) for ours, other in pairs),
        max(
            abs(a - b)
            for ours, other in pairs
            for a, b in zip(ours["power_db"], other["power_db"], strict=True)
        ),
    ]
    return [f"{difference:.2f}" for difference in differences]


def calibration(result: dict[str, Any]) -> str:
    """Write the calibration error before and after, and what chance alone gives."""
    rows = result["calibration"]
    metrics = {
        "top-1 %": "top1",
        "ECE %": "ece",
        "calibrated ECE %": "calibrated_ece",
        "by chance alone %": "ece_of_calibrated",
        "temperature": "temperature",
    }
    lines = [table_row(["data", "images", "seeds", *metrics])]
    lines.append("|---" + "|---:" * (len(metrics) + 2) + "|")
    for row in rows:
        cells = (plus_minus(row[name]) for name in metrics.values())
        lines.append(table_row([row["calibrated"], f"{row['images']:,}", row["seeds"], *cells]))
    text = f"{caption(result)} Means with 95 % t intervals over the seeds, at commit "
    return "\n".join([*lines, "", f"{text}{_commits(rows)}."])


def _commits(rows: list[dict[str, Any]]) -> str:
    """Name the commits at which rows were measured, each alone."""
    return ", ".join(dict.fromkeys(row["commit"] for row in rows))


def localization(result: dict[str, Any]) -> str:
    """Write the localization of each network and map, beside that of the box of the whole crop."""
    metrics = {
        "top-1 %": "top1",
        "MaxBoxAcc %": "max_box_acc",
        "MaxBoxAccV2 %": "max_box_acc_v2",
        "GT-known %": "gt_known_localization",
        "top-1 localization %": "top1_localization",
        "whole crop %": "whole_image",
    }
    lines = [table_row(["images", "network", "map", *metrics])]
    lines.append("|---|---|---" + "|---:" * len(metrics) + "|")
    for row in result["rows"]:
        names = (f"{row['images']:,} {row['data']}", f"`{row['network']}`", row["method"])
        lines.append(table_row([*names, *(f"{row[name]:.1f}" for name in metrics.values())]))
    return "\n".join([*lines, "", f"{caption(result)} At commit {result['commit']}."])


def stability(result: dict[str, Any]) -> str:
    """Write flip probabilities and consistencies, with their intervals over images."""
    metrics = {
        "mFR %": ("mfr", 1),
        "mean flip probability %": ("mean_flip_probability", 2),
        "top-5 distance": ("mean_top5_distance", 2),
        "consistency under shifts %": ("shift_consistency", 1),
        "on the diagonal %": ("diagonal_shift_consistency", 1),
    }
    lines = [table_row(["network", "images", "px", "parameters", "views", *metrics])]
    lines.append("|---|---:|---:|---|---" + "|---:" * len(metrics) + "|")
    for row in result["stability"]:
        views = "circular" if row["mode"] == "circular" else "crops"
        cells = [row["network"], row["images"], row["image_size"][0], row["table"], views]
        for name, digits in metrics.values():
            interval = row["intervals"].get(name)
            ends = (
                ""
                if interval is None
                else f" ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"
            )
            cells.append(f"{or_dash(row['metrics'][name], digits)}{ends}")
        lines.append(table_row(cells))
    text = f"{caption(result)} In brackets: 95 % intervals over the images. Commit: "
    return "\n".join([*lines, "", f"{text}{_commits(result['stability'])}."])


def probes(result: dict[str, Any]) -> str:
    """Write what each probe came to, and top-1 by the way in which its penalty is chosen."""
    metrics = ("knn_top1", "recall_at_1", "recall_at_10", "r_precision")
    heads = ["images", "px", "trained on", "validated on", "linear probe %", "95 % interval"]
    heads += ["neighbours %", "recall@1 %", "recall@10 %", "R-precision %"]
    heads += ["first call, core s", "again, core s"]
    lines = [table_row(heads), "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in result["rows"]:
        low, high = row["interval"]
        cells = [row["data"], row["image_size"], f"{row['train_images']:,}", f"{row['images']:,}"]
        cells += [f"{row['top1']:.2f}", f"{low:.1f} to {high:.1f}"]
        cells += [f"{row[name]:.2f}" for name in metrics]
        cells += [f"{row['first_core_s']:.0f}", f"{row['again_core_s']:.0f}"]
        lines.append(table_row(cells))
    ways = ("validation, loss", "validation, top-1", "five folds, loss", "best")
    lines += ["", table_row(["trained on", "validated on", *ways]), "|---:" * (len(ways) + 2) + "|"]
    for row in result["choices"]:
        sizes = (f"{row['train_images']:,}", row["validation_images"])
        lines.append(table_row([*sizes, *(f"{row[name]:.2f}" for name in ways)]))
    return "\n".join([*lines, "", f"{caption(result)} At commit {result['commit']}."])
