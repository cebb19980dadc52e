"""The tables of what searches found in their budgets, and what it was worth."""

from __future__ import annotations

from typing import Any

from table_cells import caption, table_row


def searches(result: dict[str, Any]) -> str:
    """Write the time and the trials of each search, then the effects of the comparisons."""
    heads = ["search", "data", "budget", "spent", "planned", "tried", "epochs", "best", "median"]
    lines = [table_row(heads), "|---|---" + "|---:" * (len(heads) - 2) + "|"]
    for row in result["search"]:
        cells = [row["search"], row["data"], f"{row['budget_s']:.0f} s"]
        share = 100 * row["spent_s"] / row["budget_s"]
        cells += [f"{share:.0f} %", row["planned"], row["trials"], row["epochs"]]
        reward = row["reward"].replace("_", " ")
        cells += [f"{row['best']:.4g} ({reward})", f"{row['median']:.4g}"]
        lines.append(table_row(cells))
    compared = [row for row in result["search"] if "effects" in row]
    if compared:
        heads = ["search", "arm, against the first", "difference", "95 % interval", "seeds"]
        lines += ["", table_row([*heads, "verdict"]), "|---|---" + "|---:" * 3 + "|---|"]
    for row in compared:
        for effect in row["effects"]:
            interval = f"{effect['low']:+.2f} to {effect['high']:+.2f}"
            cells = [row["search"], effect["label"], f"{effect['delta']:+.2f}", interval]
            lines.append(table_row([*cells, effect["pairs"], effect["verdict"]]))
    commits = ", ".join(dict.fromkeys(row["commit"] for row in result["search"]))
    return "\n".join([*lines, "", f"{caption(result)} Commit: {commits}."])
