"""The tables of detectors and segmenters by how their backbones were trained, beside the papers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from table_cells import plus_minus, table_row
from trickbag.report import ReportedStudy, answers, read_study
from trickbag.report.format import around, title, unit
from trickbag.report.study.sections import effect_row

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PUBLISHED = ROOT / "benchmarks" / "published" / "transfer.json"

_CHANCE = {
    "random_boxes": "the boxes of a random training image",
    "untrained": "an untrained detector",
}


def transfer(folder: Path) -> str:
    """Write a study of backbones, arm by arm, beside the published figures; its answer first."""
    reported = read_study(folder)
    published = json.loads(PUBLISHED.read_text())[folder.name.removeprefix("transfer_")]
    sources = published["sources"]
    outcome = f"{title(reported.outcome)} ({unit(reported.outcome)})"
    heads = ["backbone", "Imagenette top-1 (%)", outcome, "minus plain", "95 % interval", "verdict"]
    for source in sources:
        dagger = "" if source["checked"] else "\N{DAGGER}"
        heads += [f"{source['name']}{dagger}: ImageNet top-1", published["metric"], "minus plain"]
    lines = [table_row(heads), "|---" + "|---:" * (len(heads) - 1) + "|"]
    lines += [table_row(row) for row in _arms(reported, sources)]
    lines += [table_row([*row, *[""] * (len(heads) - len(row))]) for row in _chance(reported)]
    notes = [f"{source['name']}: {source['source']}." for source in sources]
    text = f"Published: {published['what']}. {' '.join(notes)}"
    return "\n".join([*answers(reported), "", *lines, "", text])


def _arms(reported: ReportedStudy, sources: list[dict[str, Any]]) -> list[list[str]]:
    """Return a row of each arm."""
    effects = {effect.label: effect for effect in reported.effects or ()}
    classifiers = _classifiers()
    rows = []
    for variant in reported.variants:
        label = variant.label
        row = [label, classifiers.get(label, "")]
        row.append(around(reported.outcome, variant.values(reported.outcome)))
        if label in effects:
            written = effect_row(effects[label], reported.outcome)
            row += [written["delta"], written["interval"], written["verdict"]]
        else:
            row += ["", "", ""]
        for source in sources:
            row += _published(source["rows"], label)
        rows.append(row)
    return rows


def _published(rows: dict[str, list[float]], label: str) -> list[str]:
    if label not in rows:
        return ["", "", ""]
    top1, value = rows[label]
    change = f"{value - rows['plain'][1]:+.2f}".replace("-", "\N{MINUS SIGN}")
    return [f"{top1:.2f}", f"{value:.2f}", "" if label == "plain" else change]


def _classifiers() -> dict[str, str]:
    """Return the accuracy of the classifiers, by label."""
    file = RESULTS / "transfer_backbones.json"
    arms = json.loads(file.read_text())["arms"] if file.is_file() else []
    return {arm["label"]: plus_minus(arm["top1"]) for arm in arms}


def _chance(reported: ReportedStudy) -> list[list[str]]:
    """Return rows of what an answer reaches that has learned nothing."""
    name = reported.outcome.removeprefix("test_")
    if name == "map50":
        file = RESULTS / "transfer_chance.json"
        chance = json.loads(file.read_text())["chance"] if file.is_file() else {}
        return [
            [what, "", plus_minus(chance[key]["map50"])]
            for key, what in _CHANCE.items()
            if key in chance
        ]
    answer = reported.record.answers["test"]
    return [["the largest class at every pixel", "", f"{answer.values[name]:.2f}"]]
