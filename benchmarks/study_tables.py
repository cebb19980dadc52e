"""The tables of simulated studies: intervals, looks and tuning."""

from __future__ import annotations

from typing import Any

from table_cells import caption, or_dash, table_row


def coverage(result: dict[str, Any]) -> str:
    """Write how often each interval holds the truth, and how wide it is."""
    heads = ["differences", "images differ", "seeds", "images", "new seeds and images"]
    heads += ["width", "new seeds alone", "Satterthwaite", "bootstrap", "width", "no interval"]
    lines = [table_row(heads), "|---|---" + "|---:" * (len(heads) - 2) + "|"]
    for row in result["coverage"]:
        width = f"{row['width']:.2f}"
        cells = [row["scores"], "yes" if row["image_effect"] == "strong" else "no"]
        cells += [row["seeds"], row["images"], row["held"], width]
        cells += [row["held_seeds_alone"], row["held_satterthwaite"]]
        cells += [or_dash(row["held_bootstrap"], 1), or_dash(row["bootstrap_width"], 2)]
        lines.append(table_row([*cells, row["without_interval"]]))
    note = (
        "In % of the studies that have an interval; widths are medians, over that of an interval "
        "that knows the true variance."
    )
    return "\n".join([*lines, "", f"{note} {caption(result)}"])


def fold_coverage(result: dict[str, Any]) -> str:
    """Write how often the corrected and the plain interval of folds hold the truth."""
    heads = ["learners", "outcome", "examples", "folds", "splits", "seeds", "corrected", "width"]
    heads += ["plain t", "width", "no interval"]
    lines = [table_row(heads), "|---|---" + "|---:" * (len(heads) - 2) + "|"]
    for row in result["fold_coverage"]:
        names = ("learners", "outcome", "examples", "folds", "splits", "seeds")
        cells = [row[name] for name in names]
        cells += [row["held"], f"{row['width']:.2f}"]
        cells += [row["held_plain"], f"{row['plain_width']:.2f}", row["without_interval"]]
        lines.append(table_row(cells))
    note = (
        f"In % of {result['studies']:,} studies a row, of those that have an interval; widths are "
        "medians, over that of an interval that knows the true variance."
    )
    return "\n".join([*lines, "", f"{note} {caption(result)}"])


def looks(result: dict[str, Any]) -> str:
    """Write the false verdicts by the number of looks, then what stopping settled arms saves."""
    heads = ["tricks", "looks", "helps, planned", "any verdict, planned"]
    heads += ["helps, each at 5 %", "any verdict, each at 5 %"]
    lines = [table_row(heads), "|---:" * len(heads) + "|"]
    for row in result["looks"]:
        if row["kind"] == "null":
            names = ("tricks", "looks", "helps", "either")
            cells = [row[name] for name in (*names, "helps_at_5_percent", "either_at_5_percent")]
            lines.append(table_row(cells))
    heads = ["effect", "arms with it", "looks", "trials", "called", "estimate"]
    heads += ["trials, Pocock", "called, Pocock", "called, one look"]
    lines += ["", table_row(heads), "|---:|---" + "|---:" * (len(heads) - 2) + "|"]
    for row in result["looks"]:
        if row["kind"] == "saving":
            cells = [row["effect"], row["with_effect"], row["looks"], row["trials"], row["called"]]
            cells += [or_dash(row["estimate"], 2), row["trials_pocock"], row["called_pocock"]]
            lines.append(table_row([*cells, row["called_once"]]))
    note = (
        f"In % of {result['studies']:,} studies, arms or trials; at most {result['seeds']} seeds. "
        "Effects are in standard deviations of a paired difference, the estimate is that of arms "
        "that were stopped early."
    )
    return "\n".join([*lines, "", f"{note} {caption(result)}"])


def tuning(result: dict[str, Any]) -> str:
    """Write the verdicts of studies without and with tuning."""
    heads = ["effect", "shift", "curvature", "tuning seeds", "helps, untuned", "helps, tuned"]
    heads += ["hurts, tuned", "flagged"]
    lines = [table_row(heads), "|---:" * len(heads) + "|"]
    for row in result["tuned"]:
        names = ("effect", "shift", "curvature", "tune_seeds", "helps_untuned", "helps_tuned")
        cells = [row[name] for name in (*names, "hurts_tuned")]
        lines.append(table_row([*cells, or_dash(row["flagged"], 1)]))
    note = (
        f"Verdicts in % of {result['studies']:,} studies a row, of one trick with "
        f"{result['seeds']} seeds. Effect and curvature are in standard deviations of a paired "
        "difference."
    )
    return "\n".join([*lines, "", f"{note} {caption(result)}"])
