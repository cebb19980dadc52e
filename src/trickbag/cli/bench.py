"""Measure how fast this machine is at a part of the work, and name what holds it up.

bench data measures how images are loaded, bench train the training step of a recipe, and bench
infer the prediction of a network. Nothing is kept.
"""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

PARTS = ("data", "train", "infer")
MOST_SECONDS = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the parts, each with its arguments."""
    import argparse

    parts = parser.add_subparsers(
        dest="part", metavar="|".join(PARTS), required=True, parser_class=type(parser)
    )
    for part in PARTS:
        module = _module(part)
        text = (module.__doc__ or "").strip()
        subparser = parts.add_parser(
            part,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)


def add_measurement_options(parser: argparse.ArgumentParser) -> None:
    """Add how long is measured, and the form of the output."""
    parser.add_argument(
        "--seconds", metavar="S", default="10", help="how long to measure (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def seconds_from(args: argparse.Namespace) -> float:
    """Return how long is to be measured; UserError if it is no such number."""
    from trickbag.errors import UserError

    try:
        seconds = float(args.seconds)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MOST_SECONDS:
        raise UserError(
            f"--seconds {args.seconds!r}: must be a number above 0, at most {MOST_SECONDS:.0f}"
        )
    return seconds


def run(args: argparse.Namespace) -> int:
    """Run the part; return 0."""
    return int(_module(args.part).run(args))


def _module(part: str) -> ModuleType:
    return importlib.import_module(f"trickbag.cli.benchmarks.{part}")
