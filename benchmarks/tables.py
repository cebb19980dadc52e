"""Write the tables of README and docs from benchmarks/results and docs/studies.

python benchmarks/tables.py           write the tables, and what cards say was measured
python benchmarks/tables.py --check   exit 1 if a table is not what the results say

A table stands between `<!-- KIND: NAME -->` and `<!-- end -->`; the kind is benchmark, study,
steps, outcome, transfer, sizes or paper (computed, not measured).
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

from cost_tables import (
    attack,
    comparison,
    data_paths,
    listing,
    loaders,
    operations,
    overhead,
    packs,
    pairs,
    predictions,
    rates,
)
from evaluation_tables import (
    augmentation,
    calibration,
    corruptions,
    localization,
    probes,
    robustness,
    stability,
)
from finetune_table import finetuning
from outcome_tables import outcome
from search_tables import searches
from step_tables import (
    busy_machine,
    cifar_speed,
    epochs,
    exchanges,
    gpu,
    scaling,
    small_maps,
    trick_costs,
)
from study_tables import coverage, fold_coverage, looks, tuning
from table_cells import machine, or_dash, table_row
from transfer_tables import transfer
from trickbag.data.config import DataConfig
from trickbag.data.sources import open_source
from trickbag.report import ReportedStudy, answers, read_study, study_table
from trickbag.report.format import title, unit
from trickbag.report.study.sections import effect_row, papers
from trickbag.search.scaling.efficientnet import published_family

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
    "docs/finetune.md",
    "docs/tricks.md",
    "docs/robustness.md",
    "docs/perturbations.md",
    "docs/corruptions.md",
    "docs/calibration.md",
    "docs/evaluate.md",
    "docs/localization.md",
    "docs/packs.md",
    "docs/performance.md",
    "docs/probe.md",
    "docs/search.md",
    "docs/transfer.md",
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
    if "calibration" in result:
        return calibration(result)
    if "search" in result:
        return searches(result)
    if "coverage" in result:
        return coverage(result)
    if "fold_coverage" in result:
        return fold_coverage(result)
    if "looks" in result:
        return looks(result)
    if "tuned" in result:
        return tuning(result)
    if "stability" in result:
        return stability(result)
    if "repetitions" in result:
        return overhead(result)
    if "data_paths" in result:
        return data_paths(result)
    if "fresh" in result:
        return listing(result)
    if "loader_workers" in result:
        return loaders(result)
    if "packs" in result:
        return packs(result)
    if "evaluated" in result:
        return predictions(result)
    if "gpu_part" in result:
        return gpu(result)
    if "whole_epochs" in result:
        return epochs(result)
    if "situations" in result:
        return busy_machine(result)
    if "cifar_speed" in result:
        return cifar_speed(result)
    if "trick_costs" in result:
        return trick_costs(result)
    if "small_maps" in result:
        return small_maps(result)
    if "ways" in result:
        return finetuning(result)
    if "rows" not in result:
        return comparison(result)
    if "gradient_bytes" in result["rows"][0]:
        return exchanges(result)
    if "operation" in result["rows"][0]:
        return operations(result)
    if "max_box_acc" in result["rows"][0]:
        return localization(result)
    if "knn_top1" in result["rows"][0]:
        return probes(result)
    return pairs(result) if "published" in result["rows"][0] else rates(result)


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


def efficientnets() -> str:
    """Write the networks of compound scaling's formula beside the released ones."""
    heads = ["depth", "width", "px", "parameters, M", "multiply-adds, G"]
    first = ["phi", *heads, "released", *heads]
    lines = [table_row(first), "|---" * len(first) + "|"]
    for formula, name, released in published_family():
        cells = [
            (
                f"{each.factors.depth:.2f}",
                f"{each.factors.width:.2f}",
                each.image_size,
                f"{each.params / 1e6:.1f}",
                f"{each.macs / 1e9:.2f}",
            )
            for each in (formula, released)
        ]
        lines.append(table_row([f"{formula.phi:g}", *cells[0], f"`{name}`", *cells[1]]))
    return "\n".join(lines)


def fill(text: str) -> str:
    """Return a page with its tables written anew."""

    def block(match: re.Match[str]) -> str:
        return f"<!-- {match[1]}: {match[2]} -->\n{body(match[1], match[2])}\n<!-- end -->"

    pattern = (
        r"<!-- (benchmark|study|steps|outcome|transfer|sizes|paper): ([\w/]+) -->\n.*?<!-- end -->"
    )
    return re.sub(pattern, block, text, flags=re.DOTALL)


def body(kind: str, name: str) -> str:
    if kind == "paper":
        return {"scaling": scaling}[name]()
    if kind == "sizes":
        return efficientnets() if name == "efficientnet" else sizes(name)
    if kind == "benchmark":
        file = RESULTS / f"{name}.json"
        return benchmark(json.loads(file.read_text())) if file.is_file() else "Not measured yet."
    folder = STUDIES / name
    if not folder.is_dir():
        return "Not run yet."
    if kind in ("outcome", "transfer"):
        table = outcome(folder) if kind == "outcome" else transfer(folder)
        return f"{table} {link_to_page(folder)}"
    return study(folder) if kind == "study" else steps(folder)


_COMPARED = {
    "leave-one-out": "the whole recipe minus it without",
    "one-at-a-time": "added to a bare recipe",
    "cumulative": "added after the steps before",
}


@cache
def studies() -> list[ReportedStudy]:
    """Return the studies of tricks: an arm of backbones may be called like a trick."""
    reported = [read_study(folder) for folder in sorted(STUDIES.iterdir()) if folder.is_dir()]
    return [each for each in reported if each.subject == "trick"]


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
