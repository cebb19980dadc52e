"""The table of a study of one trick in an outcome of robustness, beside the published figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from trickbag.report import answers, read_study
from trickbag.report.format import title, unit
from trickbag.report.study.sections import effect_row

PUBLISHED = Path(__file__).parent / "published" / "outcomes.json"
HEADS = ("", "without", "with", "difference", "95 % interval", "p", "seeds")


def row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def outcome(folder: Path) -> str:
    """Write the effect of a study of one trick, its answer first, and the papers' figures."""
    reported = read_study(folder)
    (effect,) = reported.effects or ()
    measured = effect_row(effect, reported.outcome)
    data = Path(str(reported.recipe["data"]["source"])).name
    name = f"{data}, {effect.model}: {title(reported.outcome)} ({unit(reported.outcome)})"
    keys = ("level_without", "level_with", "delta", "interval", "p", "pairs")
    lines = [row(HEADS), "|---" + "|---:" * (len(HEADS) - 1) + "|"]
    lines.append(row([name, *(measured[key] for key in keys)]))
    sources = []
    for figure in json.loads(PUBLISHED.read_text())[folder.name]:
        if figure["source"] not in sources:
            sources.append(figure["source"])
        change = f"{figure['with'] - figure['without']:+.2f}".replace("-", "\N{MINUS SIGN}")
        cells = [figure["without"], figure["with"]]
        number = sources.index(figure["source"]) + 1
        lines.append(
            row([f"{figure['what']} [{number}]", *(f"{c:.2f}" for c in cells), change, "", "", ""])
        )
    notes = [note.text for note in reported.record.notes if note.text.startswith(reported.outcome)]
    listed = [f"[{number}] {source}." for number, source in enumerate(sources, 1)]
    text = " ".join([*(f"Outcome {note}." for note in notes), *listed])
    return "\n".join([*answers(reported), "", *lines, "", text])
