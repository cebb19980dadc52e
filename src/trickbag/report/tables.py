"""Tables of text in Markdown and in LaTeX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.report.format import MINUS, TIMES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["latex_table", "latex_text", "markdown_table"]

# All in one pass: after a chain of `replace` the braces of \textbackslash{} would be escaped too.
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "—": "---",
        MINUS: "$-$",
        TIMES: r"$\times$",
        "±": r"$\pm$",
        "\u00a0": "~",
        "\n": " ",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


def markdown_table(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Write rows as a table in Markdown; the first row is the head.

    `right` tells of each column whether it is aligned to the right.
    """
    # A line break in a name would end the row, a bar the cell.
    cells = [[" ".join(text.split()).replace("|", r"\|") for text in row] for row in rows]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(right))]
    lines = []
    for row in cells:
        padded = [
            text.rjust(width) if aligned else text.ljust(width)
            for text, width, aligned in zip(row, widths, right, strict=True)
        ]
        lines.append(f"| {' | '.join(padded)} |")
    rule = "|".join(
        "-" * (width + 1) + (":" if aligned else "-")
        for width, aligned in zip(widths, right, strict=True)
    )
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + "\n"


def latex_text(text: str) -> str:
    """Escape the characters of a text that mean something in LaTeX."""
    return text.translate(_LATEX)


def latex_table(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Write rows as a table in LaTeX, with the rules of booktabs; the first row is the head."""
    head, *body = [" & ".join(map(latex_text, row)) + r" \\" for row in rows]
    columns = "".join("r" if aligned else "l" for aligned in right)
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"
