"""Write the tables of README and docs from benchmarks/results and docs/studies.

python benchmarks/tables.py           write the tables, and what cards say was measured
python benchmarks/tables.py --check   exit 1 if a table is not what the results say

A table stands between `<!-- KIND: NAME -->` and `<!-- end -->`; the kind is benchmark, study,
steps, outcome or sizes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

from outcome_tables import outcome
from trickbag.data.config import DataConfig
from trickbag.data.sources import open_source
from trickbag.report import ReportedStudy, answers, read_study, study_table
from trickbag.report.format import title, unit
from trickbag.report.study.sections import effect_row, papers

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
STUDIES = ROOT / "docs" / "studies"
PUBLISHED = ROOT / "benchmarks" / "published"
CARDS = ROOT / "docs" / "tricks"
PAGES = (
    "README.md",
    "docs/studies.md",
    "docs/data.md",
    "docs/runs.md",
    "docs/networks.md",
    "docs/recipes.md",
    "docs/tricks.md",
    "docs/robustness.md",
    "docs/corruptions.md",
    "docs/calibration.md",
    "docs/evaluate.md",
    "docs/localization.md",
)


def table_row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def plus_minus(interval: dict[str, Any]) -> str:
    if interval["low"] is None:
        return f"{interval['mean']:.2f}"
    return f"{interval['mean']:.2f} ± {interval['high'] - interval['mean']:.2f}"


def median_and_range(ratio: dict[str, Any]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def machine(environment: dict[str, Any]) -> str:
    processor = environment["gpu"] or environment["cpu"]
    return f"{processor}, {environment['cores']} cores, torch {environment['versions']['torch']}"


def caption(result: dict[str, Any]) -> str:
    """Write what was measured, by which script and on which machine."""
    text = result["what"]
    return (
        f"{text[0].upper()}{text[1:]}. Measured by `{result['script']}` on "
        f"{machine(result['environment'])}."
    )


def benchmark(result: dict[str, Any]) -> str:
    """Write a result as the table that suits it."""
    if "attacked" in result:
        return attack(result)
    if "augmented" in result:
        return augmentation(result)
    if "corruptions" in result:
        return corruptions(result)
    if "robustness" in result:
        return robustness(result)
    if "repetitions" in result:
        return overhead(result)
    if "fresh" in result:
        return listing(result)
    if "rows" not in result:
        return comparison(result)
    if "operation" in result["rows"][0]:
        return operations(result)
    if "calibrated" in result["rows"][0]:
        return calibration(result)
    if "max_box_acc" in result["rows"][0]:
        return localization(result)
    return pairs(result) if "published" in result["rows"][0] else rates(result)


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
    return "\n".join([*lines, "", f"{caption(result)} Commit: {result['commit']}."])


def robustness(result: dict[str, Any]) -> str:
    """Write errors on corrupted images, ours above the published ones."""
    columns = ("clean_error", "mean_corruption_error", "mce", "relative_mce", "mce_19")
    heads = ["network", "images", "px", "parameters", "clean error", "mean error", "mCE"]
    heads += ["relative mCE", "mCE of 19", "seconds"]
    lines = [table_row(heads), "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in result["robustness"]:
        settings, metrics = row["settings"], row["metrics"]
        cells = [row["network"], row["images"], settings["image_size"][0], settings["table"]]
        cells += [or_dash(metrics[name], 1) for name in columns]
        lines.append(table_row([*cells, f"{row['seconds']:.0f}"]))
    for row in result["published"]:
        cells = [f"{row['network']} ({row['source']})", "50,000", row["size"], "imagenet_c"]
        lines.append(table_row([*cells, "", "", f"{row['mce']:.1f}", "", "", ""]))
    notes = [note for row in result["robustness"] for note in row["notes"] if "frost" in note]
    text = f"{caption(result)} Commit: {result['commit']}."
    sentences = [f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(notes)]
    return "\n".join([*lines, "", " ".join([text, *sentences])])


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


def calibration(result: dict[str, Any]) -> str:
    """Write the calibration error before and after, and what chance alone gives."""
    metrics = {
        "top-1 %": "top1",
        "ECE %": "ece",
        "calibrated ECE %": "calibrated_ece",
        "by chance alone %": "ece_of_calibrated",
        "temperature": "temperature",
    }
    lines = [table_row(["data", "images", "seeds", *metrics])]
    lines.append("|---" + "|---:" * (len(metrics) + 2) + "|")
    for row in result["rows"]:
        cells = (plus_minus(row[name]) for name in metrics.values())
        lines.append(table_row([row["calibrated"], f"{row['images']:,}", row["seeds"], *cells]))
    text = f"{caption(result)} Means with 95 % t intervals over the seeds, at commit "
    return "\n".join([*lines, "", f"{text}{result['commit']}."])


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


def study(folder: Path) -> str:
    """Write the effects of a study, its answer first."""
    return "\n".join([*answers(read_study(folder)), "", study_table(folder), link_to_page(folder)])


def link_to_page(folder: Path) -> str:
    """Link to the page of a study; write which script measured it and on which machine."""
    measured = json.loads((folder / "measured.json").read_text())
    page = f"[The page of this study](studies/{folder.name}/report.html)"
    return (
        f"{page}; measured by `{measured['script']}` on {machine(measured)}, at commit "
        f"{measured['commit']}."
    )


def steps(folder: Path) -> str:
    """Write a cumulative study step by step beside the papers' ResNet-50, its answer first."""
    reported = read_study(folder)
    (network,) = papers(reported)
    verdicts = ["", *(effect.verdict for effect in reported.effects or ())]
    columns = [i for i, chain in enumerate(network["chains"]) if chain.network == "ResNet-50"]
    heads = ["", "top-1 (%), mean ± SD", "step", "95 % interval", "verdict"]
    heads += [
        f"{network['chains'][i].paper}: {head}" for i in columns for head in ("top-1", "step")
    ]
    lines = [table_row(heads), "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row, verdict in zip(network["rows"], verdicts, strict=True):
        cells = [row["label"], row["value"], row["step"], row["interval"], verdict]
        for i in columns:
            published = row["papers"][i]
            dagger = "†" if published and "†" in published["mark"] else ""
            cells += [published["top1"] + dagger, published["delta"]] if published else ["", ""]
        lines.append(table_row(cells))
    note = (
        "† as remembered from the paper, unchecked; the papers' epochs and other notes are on "
        "the page."
    )
    return "\n".join([*answers(reported), "", *lines, "", f"{note} {link_to_page(folder)}"])


def sizes(part: str) -> str:
    """Write parameters and multiply-adds of networks beside published figures.

    The part is `networks` or `official`.
    """
    counts = json.loads((RESULTS / "networks.json").read_text())
    literature = json.loads((PUBLISHED / "networks.json").read_text())
    published: dict[tuple[str, int], tuple[float, float]] = {}
    for row in literature["originals"]:
        name = row["name"] if part == "official" else row.get("named")
        params = row["params"] if part == "official" else row["params_1000"]
        published[name, row["image_size"]] = (params / 1e6, row["macs_g"])
    if part == "networks":
        published |= {
            (row["name"], row["image_size"]): (row["params_m"], row["macs_g"])
            for row in literature["timm"]
        }
    heads = ["network", "px", "parameters, M", "published", "multiply-adds, G", "published"]
    lines = [table_row(heads), "|---" * len(heads) + "|"]
    for row in counts[part]:
        params, macs = published.get((row["name"], row["image_size"]), (None, None))
        cells = [f"`{row['name']}`", row["image_size"], f"{row['params'] / 1e6:.3f}"]
        cells += [or_dash(params, 3), f"{row['macs'] / 1e9:.4f}", or_dash(macs, 4)]
        lines.append(table_row(cells))
    return "\n".join(lines)


def or_dash(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def fill(text: str) -> str:
    """Return a page with its tables written anew."""

    def block(match: re.Match[str]) -> str:
        return f"<!-- {match[1]}: {match[2]} -->\n{body(match[1], match[2])}\n<!-- end -->"

    pattern = r"<!-- (benchmark|study|steps|outcome|sizes): (\w+) -->\n.*?<!-- end -->"
    return re.sub(pattern, block, text, flags=re.DOTALL)


def body(kind: str, name: str) -> str:
    if kind == "sizes":
        return sizes(name)
    if kind == "benchmark":
        file = RESULTS / f"{name}.json"
        return benchmark(json.loads(file.read_text())) if file.is_file() else "Not measured yet."
    folder = STUDIES / name
    if not folder.is_dir():
        return "Not run yet."
    if kind == "outcome":
        return f"{outcome(folder)} {link_to_page(folder)}"
    return study(folder) if kind == "study" else steps(folder)


_COMPARED = {
    "leave-one-out": "the whole recipe minus it without",
    "one-at-a-time": "added to a bare recipe",
    "cumulative": "added after the steps before",
}


@cache
def studies() -> list[ReportedStudy]:
    return [read_study(folder) for folder in sorted(STUDIES.iterdir()) if folder.is_dir()]


def natural_size(source: str) -> int | None:
    """Return the size of a built-in source's images, which precedes a recipe's default."""
    return open_source(DataConfig()).natural_size if source == DataConfig().source else None


def effects_of(trick: str) -> str:
    """Write the effects of a trick in the studies under docs/studies, outcome by outcome."""
    outcomes = ["top1", *sorted({reported.outcome for reported in studies()} - {"top1"})]
    tables = [table for name in outcomes if (table := _effects_of(trick, name))]
    note = "p is adjusted within each study."
    return "\n\n".join([*tables, note]) if tables else "Not yet measured here."


def _effects_of(trick: str, outcome_name: str) -> str:
    """Write the effects of a trick on an outcome as a table; empty where there are none."""
    rows = []
    for reported in studies():
        if reported.outcome != outcome_name:
            continue
        data, epochs = reported.recipe["data"], reported.recipe["training"]["epochs"]
        size = data["image_size"] or natural_size(data["source"]) or data["default_size"]
        for effect in reported.effects or ():
            if effect.label != trick:
                continue
            row = effect_row(effect, reported.outcome)
            cells = [
                f"[{reported.folder.name}](../studies.md)",
                f"`{effect.model}`, {size} px, {epochs} epochs",
                _COMPARED[reported.design],
                *(row[key] for key in ("delta", "interval", "p", "pairs", "verdict")),
            ]
            rows.append(table_row(cells))
    if not rows:
        return ""
    effect = f"{title(outcome_name)} ({unit(outcome_name)})"
    head = f"| study | network | how | {effect} | 95 % interval | p (Holm) | pairs | verdict |"
    return "\n".join([head, "|---|---|---|---:|---:|---:|---:|---|", *rows])


def fill_card(trick: str, text: str) -> str:
    """Return a trick's card with its section "Measured effect" written anew."""
    return re.sub(
        r"(?<=\n## Measured effect\n\n).*?(?=\n\n## )",
        lambda _: effects_of(trick),
        text,
        flags=re.DOTALL,
    )


def main() -> int:
    stale = []
    pages = {ROOT / name: fill for name in PAGES}
    pages |= {card: partial(fill_card, card.stem) for card in sorted(CARDS.glob("*.md"))}
    for page, write in pages.items():
        text = page.read_text()
        current = write(text)
        if current != text:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(current)
    if stale and "--check" in sys.argv:
        print(
            f"not what benchmarks/results say: {', '.join(stale)}; run python benchmarks/tables.py"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
