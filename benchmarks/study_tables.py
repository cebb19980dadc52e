"""The tables of simulated studies: what intervals hold."""

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
