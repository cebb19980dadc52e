"""Write the report of a run, or of two runs compared, as one self-contained page or as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folders", metavar="DIR", nargs="+", help="a run's folder, or two to compare")
    parser.add_argument("--format", metavar="md|latex|csv|json", help="print a table instead of writing the page")
    parser.add_argument(
        "--out", metavar="FILE", help="where to write the page (default: report.html in the run's folder)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the report; return 0."""
    from pathlib import Path

    from trickbag.errors import UserError
    from trickbag.report import compare_page, run_page, run_table
    from trickbag.report.images import pictures_of

    folders = [Path(folder) for folder in args.folders]
    if len(folders) > 2:
        raise UserError(f"report takes one run's folder, or two to compare, not {len(folders)}")
    if args.format is not None:
        if args.format not in ("md", "latex", "csv", "json"):
            raise UserError(f"--format {args.format!r}: must be one of md, latex, csv, json")
        if len(folders) > 1:
            raise UserError("--format prints the table of one run; give one folder")
        print(run_table(folders[0], args.format), end="")
        return 0
    out = Path(args.out) if args.out else None
    if len(folders) == 2:
        page = compare_page(folders[0], folders[1], out or folders[0] / "compared.html")
    else:
        page = run_page(folders[0], out, pictures_of(folders[0]))
    print(f"report: {page}")
    return 0
