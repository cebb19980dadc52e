"""What two studies must have in common to be the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.builders.runs import without_times


def effects(folder: Path) -> list[dict[str, Any]]:
    """The effects without what is measured: reproducible to the bit."""
    effects = json.loads((folder / "effects.json").read_text())
    return [{key: value for key, value in effect.items() if key != "cost"} for effect in effects]


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """The finished trials by id, without what is measured; fails where one is there twice."""
    finished: dict[str, dict[str, Any]] = {}
    for text in (folder / "results.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["error"] is None:
            assert line["trial"] not in finished, "counted twice"
            finished[line["trial"]] = line | {"metrics": without_times(line["metrics"])}
    return finished
