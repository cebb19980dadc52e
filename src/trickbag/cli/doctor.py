"""Decode every image of a data source and say what is in it, and what would be left out.

Exits 1 where so many files are bad that training would stop (data.max_bad_fraction).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.data.check import Diagnosis

_NAMED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="digits, a folder, a CSV file, or torchvision:NAME")
    parser.add_argument("--image-root", metavar="DIR", help="where a CSV's images or a torchvision data set lie")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with every file that is left out")


def run(args: argparse.Namespace) -> int:
    """Print the diagnosis; return 0, or 1 where too many files are bad."""
    from trickbag.cli.terminal import checking_progress, warn
    from trickbag.data.check import diagnose
    from trickbag.data.config import DataConfig

    data = DataConfig(source=args.source, image_root=args.image_root)
    with checking_progress() as progress:
        diagnosis = diagnose(data, progress)
    if args.json:
        import json

        print(json.dumps(diagnosis.to_dict(), indent=2, ensure_ascii=False))
    else:
        for line in _lines(diagnosis):
            print(line)
    good = sum(sum(counts.values()) for counts in diagnosis.images.values())
    bad = len(diagnosis.left_out)
    if bad > data.max_bad_fraction * (good + bad):
        share = 100 * bad / (good + bad)
        warn(
            "doctor",
            f"{bad} of {good + bad} files ({share:.1f} %) are bad: training would stop; see data.max_bad_fraction",
        )
        return 1
    return 0


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    from trickbag.cli.terminal import aligned, printable

    parts = list(diagnosis.images)
    total = {part: sum(counts.values()) for part, counts in diagnosis.images.items()}
    yield f"{printable(diagnosis.source)}: {sum(total.values()):,} images that decode, {len(diagnosis.classes)} classes"
    yield ""
    table = [["class", *parts]]
    table += [[name, *(str(diagnosis.images[part][name]) for part in parts)] for name in diagnosis.classes]
    table += [["all", *(str(total[part]) for part in parts)]]
    yield from aligned(table)
    yield ""
    yield "formats: " + (", ".join(f"{name} {count:,}" for name, count in diagnosis.formats.items()) or "none")
    for what, sizes in (("width", diagnosis.widths), ("height", diagnosis.heights)):
        if sizes is not None:
            yield f"{what}: {sizes[0]} to {sizes[2]} px, median {sizes[1]:g}"
    for warning in diagnosis.warnings:
        yield f"note: {printable(warning)}"
    yield f"left out: {len(diagnosis.left_out)} files" if diagnosis.left_out else "left out: none"
    yield from aligned([f"  {file}", reason] for file, reason in diagnosis.left_out[:_NAMED])
    if len(diagnosis.left_out) > _NAMED:
        yield f"  and {len(diagnosis.left_out) - _NAMED} more: --json names them all"
