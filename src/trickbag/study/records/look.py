"""The record of a look at a study: an entry of `looks` in `study.json`."""

from __future__ import annotations

from typing import Any, cast

from trickbag.files import json_numbers
from trickbag.study.analysis.looks import VERDICTS, Look, Verdict
from trickbag.study.analysis.statistics import ALPHA
from trickbag.study.records.checks import json_list, json_object, require, text

__all__ = ["look_from_dict", "look_to_dict"]


def look_to_dict(look: Look) -> dict[str, Any]:
    """Return a look as plain data, its verdicts as a list."""
    return {
        "outcome": look.outcome,
        "seeds": look.seeds,
        "level": look.level,
        "margin": look.margin,
        "verdicts": [
            {"model": model, "label": label, "verdict": verdict, "verdict_images": of_images}
            for (model, label), (verdict, of_images) in look.verdicts.items()
        ],
    }


def look_from_dict(data: object, place: str) -> Look:
    """Read what `look_to_dict` returned; UserError for anything else."""
    look = json_object(data, place)
    seeds = look.get("seeds")
    require(type(seeds) is int and seeds > 0, f"{place}.seeds", seeds, "a whole number above 0")
    figures = json_numbers({name: look.get(name) for name in ("level", "margin")}, place)
    level = figures["level"]
    valid = level is not None and 0 <= level <= ALPHA
    require(valid, f"{place}.level", look.get("level"), f"a number from 0 to {ALPHA}")
    verdicts: dict[tuple[str, str], tuple[Verdict, Verdict | None]] = {}
    for i, entry in enumerate(json_list(look, "verdicts", place)):
        where = f"{place}.verdicts[{i}]"
        effect = json_object(entry, where)
        verdict, of_images = effect.get("verdict"), effect.get("verdict_images")
        require(verdict in VERDICTS, f"{where}.verdict", verdict, f"one of {VERDICTS}")
        known = (*VERDICTS, None)
        require(of_images in known, f"{where}.verdict_images", of_images, f"one of {known}")
        name = (text(effect, "model", where), text(effect, "label", where))
        verdicts[name] = (cast("Verdict", verdict), cast("Verdict | None", of_images))
    return Look(
        outcome=text(look, "outcome", place),
        seeds=int(cast("int", seeds)),
        level=float(level or 0.0),
        verdicts=verdicts,
        margin=figures["margin"],
    )
