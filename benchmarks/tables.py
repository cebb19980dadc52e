"""Write the tables of README and docs from benchmarks/results, between their markers, and what cards say was measured.

python benchmarks/tables.py           write them
python benchmarks/tables.py --check   exit 1 where a table is not what the results say
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

from trickbag.data.config import DataConfig
from trickbag.data.sources import open_source
from trickbag.report import ReportedStudy, answers, read_study, study_table
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
    "docs/networks.md",
    "docs/recipes.md",
    "docs/tricks.md",
)


def plus_minus(found: dict[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['mean']:.2f}"
    return f"{found['mean']:.2f} ± {found['high'] - found['mean']:.2f}"


def measured(found: dict[str, Any]) -> str:
    """Say what was measured, by what and on what."""
    machine, versions = found["environment"], found["environment"]["versions"]
    where = (
        f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores, torch {versions['torch']}"
    )
    return (
        f"{found['what'][0].upper()}{found['what'][1:]}. Measured by `{found['script']}` on "
        f"{where}."
    )


def rates(found: dict[str, Any]) -> str:
    """Write rates side by side as a Markdown table: ours in images/s, and how many times as fast
    that is as others."""
    others = list(found["rows"][0]["times_as_fast"])
    what, digits = ("policy", 0) if "policy" in found["rows"][0] else ("network", 2)
    lines = [
        f"| {what} | pixels | ours, images/s | "
        f"{' | '.join(f'times as fast as {name}' for name in others)} |"
    ]
    lines.append("|---" * (3 + len(others)) + "|")
    for row in found["rows"]:
        ratios = (row["times_as_fast"][name] for name in others)
        ours = f"{row['images_per_s']['ours']:,.{digits}f}"
        times = (
            f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})" for ratio in ratios
        )
        lines.append(f"| `{row[what]}` | {row['image_size']} | {ours} | {' | '.join(times)} |")
    return "\n".join([*lines, "", measured(found)])


def pairs(found: dict[str, Any]) -> str:
    """Write networks beside others, each at its own size, as a Markdown table with the published
    ratio."""
    heads = ["network", "beside", "images/s", "images/s of the other", "times as fast", "published"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in found["rows"]:
        rate, ratio = row["images_per_s"], row["times_as_fast"]["other"]
        cells = [
            f"`{row['network']}`, {row['image_size']} px",
            f"`{row['beside']}`, {row['beside_size']} px",
        ]
        cells += [f"{rate['ours']:.2f}", f"{rate['other']:.2f}"]
        cells += [
            f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})",
            f"{row['published']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", measured(found)])


def operations(found: dict[str, Any]) -> str:
    """Write operations on batches as a Markdown table: the time of each other side over ours, by
    size of the images."""
    sizes = {f"{row['pixels']} px, {row['batch']} images": row["pixels"] for row in found["rows"]}
    lines = [
        f"| operation | beside | {' | '.join(sizes)} |",
        "|---|---" + "|---:" * len(sizes) + "|",
    ]
    rows = {(row["operation"], row["beside"], row["pixels"]): row for row in found["rows"]}
    for operation, beside in dict.fromkeys(
        (row["operation"], row["beside"]) for row in found["rows"]
    ):
        shown = (rows[operation, beside, pixels] for pixels in sizes.values())
        cells = (
            f"{row['ratio']:.2f} ({row['ratios'][0]:.2f} to {row['ratios'][1]:.2f})"
            for row in shown
        )
        lines.append(f"| {operation} | {beside} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", measured(found)])


def written(found: dict[str, Any]) -> str:
    """Write a result as the table that suits it."""
    if "repetitions" in found:
        return overhead(found)
    if "rows" not in found:
        return table(found)
    if "operation" in found["rows"][0]:
        return operations(found)
    return pairs(found) if "published" in found["rows"][0] else rates(found)


def overhead(found: dict[str, Any]) -> str:
    """Write what a study of many trials took, beside a loop over single trainings where there was
    one."""
    heads = ["study, s", "its trials' runs / workers, s", "above them, %"]
    loops = "ratio" in found
    heads += ["shell loop, s", "study / loop"] if loops else []
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in found["repetitions"]:
        study = row["study"]
        cells = [f"{study['wall_s']:.1f}", f"{study['run_s'] / found['workers']:.1f}"]
        cells.append(f"{100 * study['overhead_over_runs']:.1f}")
        cells += [f"{row['loop']['wall_s']:.1f}", f"{row['ratio']:.3f}"] if loops else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", measured(found)])


def middle(runs: list[dict[str, Any]], key: str) -> float:
    """Return the median over runs; the upper one of two."""
    return float(sorted(run[key] for run in runs)[len(runs) // 2])


def table(found: dict[str, Any]) -> str:
    """Write one comparison as a Markdown table with what it was measured on."""
    heads = ["training", "seeds", "top-1 % (mean, 95 % t interval)", "training time, median"]
    # Of arms that differ in cost.
    costs = (
        {"images/s": "train_throughput", "whole run, s": "run_time_s"}
        if len(found["arms"]) > 2
        else {}
    )
    heads += [f"{head}, median" for head in costs]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for arm in found["arms"]:
        cells = [f"`{arm['label']}`", str(len(arm["runs"])), plus_minus(arm["top1"])]
        cells.append(f"{middle(arm['runs'], 'train_time_s'):.0f} s")
        cells += [f"{middle(arm['runs'], key):.0f}" for key in costs.values()]
        rows.append(f"| {' | '.join(cells)} |")
    lines = ["", measured(found)]
    if "difference_top1" in found:
        first, second = (arm["label"] for arm in found["arms"])
        ratios = found["time_ratio"]
        lines[-1] += (
            f" Paired difference, `{first}` minus `{second}`: "
            f"{plus_minus(found['difference_top1'])} points;"
            f" ratio of training times: median {ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to "
            f"{ratios[-1]:.2f})."
        )
    return "\n".join(rows + lines)


def study(folder: Path) -> str:
    """Write what a study found, its answer first."""
    return "\n".join([*answers(read_study(folder)), "", study_table(folder), _page(folder)])


def _page(folder: Path) -> str:
    """Link to a study's page, and say what measured it on what."""
    measured = json.loads((folder / "measured.json").read_text())
    where = (
        f"{measured['gpu'] or measured['cpu']}, {measured['cores']} cores, torch "
        f"{measured['versions']['torch']}"
    )
    page = f"[The page of this study](studies/{folder.name}/report.html)"
    return f"{page}; measured by `{measured['script']}` on {where}."


def steps(folder: Path) -> str:
    """Write a cumulative study step by step, its answer first, beside what the papers report for
    ResNet-50."""
    found = read_study(folder)
    (part,) = papers(found)
    verdicts = ["", *(str(effect["verdict"]) for effect in found.effects or ())]
    shown = [i for i, chain in enumerate(part["chains"]) if chain.network == "ResNet-50"]
    heads = ["", "top-1 (%), mean ± SD", "step", "95 % interval", "verdict"]
    heads += [f"{part['chains'][i].paper}: {head}" for i in shown for head in ("top-1", "step")]
    lines = [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row, verdict in zip(part["rows"], verdicts, strict=True):
        cells = [row["label"], row["value"], row["step"], row["interval"], verdict]
        for i in shown:
            published = row["papers"][i]
            dagger = "†" if published and "†" in published["mark"] else ""
            cells += [published["top1"] + dagger, published["delta"]] if published else ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    note = (
        "† as remembered from the paper, unchecked; the papers' epochs and other notes are on "
        "the page."
    )
    return "\n".join([*answers(found), "", *lines, "", f"{note} {_page(folder)}"])


def sizes(part: str) -> str:
    """Write the parameters and multiply-adds of networks (`networks` or `official`) beside
    published figures."""
    counts = json.loads((RESULTS / "networks.json").read_text())
    known = json.loads((PUBLISHED / "networks.json").read_text())
    published: dict[tuple[str, int], tuple[float, float]] = {}
    for row in known["originals"]:
        name = row["name"] if part == "official" else row.get("named")
        params = row["params"] if part == "official" else row["params_1000"]
        published[name, row["image_size"]] = (params / 1e6, row["macs_g"])
    if part == "networks":
        published |= {
            (row["name"], row["image_size"]): (row["params_m"], row["macs_g"])
            for row in known["timm"]
        }
    head = "| network | px | parameters, M | published | multiply-adds, G | published |"
    rows = [head, "|---|---|---|---|---|---|"]
    for row in counts[part]:
        params, macs = published.get((row["name"], row["image_size"]), (None, None))
        rows.append(
            f"| `{row['name']}` | {row['image_size']} | {row['params'] / 1e6:.3f} | "
            f"{_known(params, 3)} "
            f"| {row['macs'] / 1e9:.4f} | {_known(macs, 4)} |"
        )
    return "\n".join(rows)


def _known(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def fill(text: str) -> str:
    """Return a page with all between `<!-- benchmark|study|steps|sizes: NAME -->` and `<!-- end
    -->` written anew."""

    def block(match: re.Match[str]) -> str:
        file = RESULTS / f"{match[1]}.json"
        body = written(json.loads(file.read_text())) if file.is_file() else "Not measured yet."
        return f"<!-- benchmark: {match[1]} -->\n{body}\n<!-- end -->"

    def of_study(match: re.Match[str]) -> str:
        folder = STUDIES / match[2]
        write = study if match[1] == "study" else steps
        body = write(folder) if folder.is_dir() else "Not run yet."
        return f"<!-- {match[1]}: {match[2]} -->\n{body}\n<!-- end -->"

    def of_sizes(match: re.Match[str]) -> str:
        return f"<!-- sizes: {match[1]} -->\n{sizes(match[1])}\n<!-- end -->"

    text = re.sub(r"<!-- sizes: (\w+) -->\n.*?<!-- end -->", of_sizes, text, flags=re.DOTALL)
    text = re.sub(r"<!-- benchmark: (\w+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)
    return re.sub(
        r"<!-- (study|steps): (\w+) -->\n.*?<!-- end -->", of_study, text, flags=re.DOTALL
    )


_COMPARED = {
    "leave-one-out": "the whole recipe minus it without",
    "one-at-a-time": "added to a bare recipe",
    "cumulative": "added after the steps before",
}


@cache
def studies() -> list[ReportedStudy]:
    return [
        read_study(folder) for folder in sorted(path for path in STUDIES.iterdir() if path.is_dir())
    ]


def natural_size(source: str) -> int | None:
    """Return the size that a built-in source's images have by themselves, which comes before a
    recipe's default."""
    return open_source(DataConfig()).natural_size if source == DataConfig().source else None


def effects_of(trick: str) -> str:
    """Write what the studies under docs/studies found of a trick: a row for each study and
    network."""
    rows = []
    for found in studies():
        data, epochs = found.recipe["data"], found.recipe["training"]["epochs"]
        size = data["image_size"] or natural_size(data["source"]) or data["default_size"]
        for effect in found.effects or ():
            if effect["label"] != trick:
                continue
            row = effect_row(effect, found.outcome)
            cells = [
                f"[{found.folder.name}](../studies.md)",
                f"`{effect['model']}`, {size} px, {epochs} epochs",
            ]
            cells += [
                _COMPARED[found.design],
                row["delta"],
                row["interval"],
                row["p"],
                row["pairs"],
                row["verdict"],
            ]
            rows.append(f"| {' | '.join(map(str, cells))} |")
    if not rows:
        return "Not yet measured here."
    head = "| study | network | how | top-1 (%) | 95 % interval | p (Holm) | pairs | verdict |"
    note = "p is adjusted within each study."
    return "\n".join([head, "|---|---|---|---:|---:|---:|---:|---|", *rows, "", note])


def fill_card(trick: str, text: str) -> str:
    """Return a trick's card with its section on what was measured written anew."""
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
        written_anew = write(text)
        if written_anew != text:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(written_anew)
    if stale and "--check" in sys.argv:
        print(
            f"not what benchmarks/results say: {', '.join(stale)}; run python benchmarks/tables.py"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
