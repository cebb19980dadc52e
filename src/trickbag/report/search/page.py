"""The page of a search: one self-contained HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.report.format import ABSENT, TIMES, amount, duration, title
from trickbag.report.pages import write_page
from trickbag.report.pictures import data_uri
from trickbag.report.recipe_text import source_name
from trickbag.report.search.charts import point_chart
from trickbag.report.search.images import PolicyImages
from trickbag.report.search.records import read_search
from trickbag.report.study.answer import answers
from trickbag.report.study.sections import effects

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.report.search.records import ReportedSearch

__all__ = ["search_page"]

DENSITY = "minus_density_loss"

_SHOWN = 20
"""The best candidates that a page lists."""

_COLUMNS = {
    "phi": "phi",
    "depth": "depth",
    "width": "width",
    "size": "side of the images",
    "image_size": "image size",
    "params": "parameters",
    "macs": "multiply-adds",
    "throughput": "prediction",
}
"""The columns of the scaled family, by what `Member.to_dict` has."""

_NAMES = {"autoaugment": "an augmentation policy", "scaling": "how to scale a network"}


def search_page(folder: Path, out: Path | None = None, images: PolicyImages | None = None) -> Path:
    """Write the page of a search, by default `report.html` in its folder; return its path.

    `images` are those of the data under the policy that was found. The page loads nothing. A search
    that has not ended gets a page of what there is. Raises UserError if the folder is no search, or
    one of its files is damaged.
    """
    search = read_search(folder)
    record, images = search.record, images or PolicyImages()
    context = {
        "title": f"search for {_NAMES[record.search]} on {source_name(record.recipe)}",
        "search": search,
        "answers": _answers(search),
        "state": _state(search),
        "facts": _facts(search),
        "reward_title": _reward_title(search),
        "by_fold": search.reward == DENSITY,
        "rewards": _rewards(search),
        "rows": _rows(search),
        "policy": _policy(search, images),
        "plain_images": list(map(data_uri, images.plain)),
        "absent_images": images.absent,
        "work": _work(search),
        "family": _family(search),
        "answers_of_comparison": answers(search.comparison) if search.comparison else (),
        "comparison": effects(search.comparison) if search.comparison else (),
    }
    return write_page("search.html", context, out or folder / "report.html")


def _reward_title(search: ReportedSearch) -> str:
    if search.reward == DENSITY:
        return "density match (minus the loss)"
    return f"{title(search.reward)} on the held-back fold" if search.reward else "reward"


def _answers(search: ReportedSearch) -> list[str]:
    best = search.ranked
    if not best:
        return ["Nothing is found yet."]
    tried = len(search.candidates)
    if search.policy is not None:
        rows = len(search.policy.table)
        return [f"The best of {tried:,} policies are joined: {rows} sub-policies."]
    return [
        f"The best of {tried:,}: {best[0].label}, {_reward_title(search)} {best[0].reward:.4g}."
    ]


def _state(search: ReportedSearch) -> str:
    record = search.record
    if record.trials is not None:
        return f"ended after {record.trials:,} suggestions"
    return f"{len(search.candidates):,} of about {record.planned:,} suggestions are tried"


def _facts(search: ReportedSearch) -> list[tuple[str, str]]:
    record, pilot = search.record, search.record.pilot
    settings = record.settings if isinstance(record.settings, dict) else {}
    failed = sum(candidate.reward is None for candidate in search.candidates)
    rows = [
        ("controller", str(settings.get("controller", "grid"))),
        ("recipe", str(record.recipe.get("name", ""))),
        ("data", source_name(record.recipe)),
        ("fingerprint", record.data[:12]),
        ("judged on", f"one of {record.folds} folds of the training images"),
        ("epochs of a trial", str(record.epochs)),
        ("seed", str(record.seed)),
        ("time", duration(record.spent_s)),
        ("budget", duration(record.budget_s) if record.budget_s else ""),
        ("a trial was thought to take", duration(pilot.trial_s) if pilot else ""),
        ("planned", f"{record.planned:,}"),
        ("failed", f"{failed:,}" if failed else ""),
        ("device", record.device),
        ("threads a trial", str(record.threads)),
    ]
    return [(name, text) for name, text in rows if text]


def _rewards(search: ReportedSearch) -> str | None:
    points = [(c.number + 1.0, c.reward) for c in search.candidates if c.reward is not None]
    return point_chart(
        points,
        name="rewards",
        label=f"{_reward_title(search)} of each suggestion, and the best so far",
        x="suggestion",
        y=_reward_title(search),
        best=True,
    )


def _rows(search: ReportedSearch) -> list[dict[str, Any]]:
    return [
        {
            "label": candidate.label,
            "reward": f"{candidate.reward:.4g}",
            "policy": "; ".join(_row_text(row) for row in candidate.facts.get("policy", ())),
        }
        for candidate in search.ranked[:_SHOWN]
    ]


def _row_text(row: Any) -> str:
    return " + ".join(_step_text(step) for step in row)


def _step_text(step: Any) -> str:
    operation, probability, magnitude = step
    return f"{operation} {probability:g}/{magnitude}"


def _policy(search: ReportedSearch, images: PolicyImages) -> list[dict[str, Any]]:
    if search.policy is None:
        return []
    table = search.policy.table
    rows = images.rows or [()] * len(table)
    return [
        {"text": _row_text(row), "images": list(map(data_uri, changed))}
        for row, changed in zip(table, rows, strict=True)
    ]


def _work(search: ReportedSearch) -> str | None:
    """Draw the rewards of a scaling search against the multiply-adds of the networks."""
    known = [
        (float(c.facts["macs"]), c.reward)
        for c in search.candidates
        if c.reward is not None and isinstance(c.facts.get("macs"), int | float)
    ]
    if not known:
        return None
    best = search.ranked[0]
    marked = (float(best.facts["macs"]) / 1e6, best.reward or 0.0) if "macs" in best.facts else None
    return point_chart(
        [(macs / 1e6, reward) for macs, reward in known],
        name="work",
        label=f"{_reward_title(search)} against multiply-adds",
        x="millions of multiply-adds",
        y=_reward_title(search),
        marked=marked,
    )


def _family(search: ReportedSearch) -> list[tuple[str, ...]]:
    """Return the rows of the scaled family, first the heads; empty where none is known."""
    rows = (search.scaling or {}).get("family")
    members = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    columns = [name for name in _COLUMNS if any(name in member for member in members)]
    if not columns:
        return []
    cells = [tuple(_cell(name, member.get(name)) for name in columns) for member in members]
    return [tuple(_COLUMNS[name] for name in columns), *cells]


def _cell(name: str, value: Any) -> str:
    if isinstance(value, list):
        return TIMES.join(map(str, value))  # an image size that is no square
    if not isinstance(value, int | float):
        return ABSENT
    if name in ("params", "macs", "throughput"):
        return amount("infer_throughput" if name == "throughput" else name, value)
    return f"{TIMES * (name in ('depth', 'width', 'size'))}{value:.4g}"
