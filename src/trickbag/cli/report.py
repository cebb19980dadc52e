"""Write the report of a run, a study, a search or a cross-validation, a page of one file.

Two runs or two studies are compared. With --format it prints a table instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        help="the folder of a run, a study, a search or a cross-validation, or two to compare",
    )
    parser.add_argument(
        "--format", metavar="md|latex|csv|json", help="print a table instead of writing the page"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="where to write the page (default: report.html in the folder)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the report; return 0."""
    from pathlib import Path

    from trickbag.cli.terminal import print_line
    from trickbag.errors import UserError
    from trickbag.output import print_exact
    from trickbag.report import is_study, run_table, study_table
    from trickbag.text import json_text

    folders = [Path(folder) for folder in args.folders]
    if len(folders) > 2:
        raise UserError(
            f"report takes one folder of a run or a study, or two to compare, not {len(folders)}"
        )
    # Checked here too, so that the message names the option.
    if args.format is not None:
        if args.format not in ("md", "latex", "csv", "json"):
            raise UserError(f"--format {args.format!r}: must be one of md, latex, csv, json")
        if len(folders) > 1:
            raise UserError("--format prints the table of one run or study; give one folder")
        table = study_table if is_study(folders[0]) else run_table
        text = table(folders[0], args.format)
        # Another program reads it; a terminal gets it with control characters as escapes.
        print_exact(json_text(text) if args.format == "json" else text)
        return 0
    page = _page(folders, Path(args.out) if args.out is not None else None)
    print_line(f"report: {page}")
    return 0


def _page(folders: list[Path], out: Path | None) -> Path:
    """Write the page of one folder, or of two compared."""
    from trickbag.errors import UserError
    from trickbag.report import (
        compare_page,
        compare_studies,
        cross_validation_page,
        is_cross_validation,
        is_search,
        is_study,
        run_page,
        study_page,
    )
    from trickbag.report.run.images import pictures_of

    searches = [folder for folder in folders if is_search(folder)]
    divided = [folder for folder in folders if is_cross_validation(folder)]
    if (alone := searches + divided) and len(folders) > 1:
        what = "search" if searches else "cross-validation"
        raise UserError(f"{alone[0]} is a {what}, which has no page beside another folder")
    if divided:
        return cross_validation_page(divided[0], out)
    if searches:
        from trickbag.cli.search import write_page

        return write_page(searches[0], out)
    studies = [is_study(folder) for folder in folders]
    if len(folders) == 1:
        if studies[0]:
            return study_page(folders[0], out)
        return run_page(folders[0], out, pictures_of(folders[0], heat_maps=True))
    if studies[0] != studies[1]:
        study, other = folders if studies[0] else reversed(folders)
        raise UserError(f"{study} is a study and {other} is none: give two runs or two studies")
    compare = compare_studies if studies[0] else compare_page
    # Not `report.html`, which is the first folder's own page.
    return compare(folders[0], folders[1], out or folders[0] / "compared.html")
