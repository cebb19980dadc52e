"""Pack all images of a data source, with their labels, into one Arrow file that trains faster.

The file is a SOURCE itself: `trickbag train --data FILE.arrow`. The same command continues a pack
that was stopped or killed. Stopped by Ctrl-C or SIGTERM, it exits with 75.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.data.packing.pack import PackSummary
    from trickbag.data.packing.settings import PackSettings
    from trickbag.errors import Note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    from trickbag.cli.recipe_options import add_places

    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="digits, a folder, a CSV file, an .arrow pack, torchvision:NAME, hf:NAME, or wds:URL",
    )
    parser.add_argument(
        "--out", metavar="FILE.arrow", required=True, help="the pack, which must not exist"
    )
    parser.add_argument(
        "--encoding",
        metavar="original|jpeg|raw",
        help="images as the bytes of their files, as JPEG, or as uint8 pixels (default: original; "
        "jpeg with --short-side; raw for images that are in no files)",
    )
    parser.add_argument(
        "--short-side", metavar="PX", help="scale larger images down to it; none is enlarged"
    )
    parser.add_argument(
        "--quality", metavar="N", help="of JPEGs that are written, 1 to 100 (default: 90)"
    )
    parser.add_argument(
        "--workers", metavar="N", help="threads that write images (default: one for each core)"
    )
    add_places(parser)
    parser.add_argument(
        "--set",
        metavar="data.NAME=VALUE",
        action="append",
        default=[],
        help="change how the source is read, such as data.multi_label=true",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object, with every file that is left out",
    )


def run(args: argparse.Namespace) -> int:
    """Write the pack; return 0."""
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.cli.recipe_options import data_settings
    from trickbag.cli.terminal import image_progress, print_json, print_line, warn
    from trickbag.data.cores import MAX_THREADS
    from trickbag.data.packing.pack import write_pack
    from trickbag.errors import Stopped
    from trickbag.paths import expanded, given_path
    from trickbag.ranges import AtLeast

    data = data_settings(args, "pack")
    settings = _settings(args)
    workers = optional(Annotated[int, AtLeast(1, MAX_THREADS)], args.workers, "--workers")
    out = expanded(given_path(args.out, "--out"))

    def on_start(needed: int, notes: tuple[Note, ...]) -> None:
        for note in notes:
            warn("pack", note.text)
        warn("pack", f"{out} will have about {_size(needed)}")

    try:
        with image_progress("packing images", "packed") as progress:
            summary = write_pack(
                data, out, settings, workers=workers, progress=progress, on_start=on_start
            )
    except KeyboardInterrupt:
        raise Stopped(
            f"stopped; what is written of {out} is kept", "the same command goes on there"
        ) from None
    if args.json:
        print_json(summary.to_dict())
        return 0
    for line in _lines(summary):
        print_line(line)
    return 0


def _settings(args: argparse.Namespace) -> PackSettings:
    from trickbag.cli.options import optional
    from trickbag.data.packing.settings import PackSettings
    from trickbag.data.sources.arrow.header import Encoding, Quality, ShortSide

    return PackSettings(
        encoding=optional(Encoding, args.encoding, "--encoding"),
        short_side=optional(ShortSide, args.short_side, "--short-side"),
        quality=optional(Quality, args.quality, "--quality"),
    )


def _lines(summary: PackSummary) -> Iterator[str]:
    from trickbag.cli.terminal import left_out_lines

    header = summary.header
    parts = ", ".join(f"{name} {count:,}" for name, count in summary.images.items())
    yield (
        f"{summary.path}: {sum(summary.images.values()):,} images ({parts}), "
        f"{len(header.classes):,} classes, {_size(summary.bytes)}"
    )
    forms = {
        "original": "the bytes of their files",
        "jpeg": f"JPEG of quality {header.quality}",
        "raw": "uint8 pixels",
    }
    scaled = ""
    if header.short_side is not None:
        scaled = f"; {summary.resized:,} of them scaled to a short side of {header.short_side} px"
    yield f"images: {forms[header.encoding]}{scaled}"
    if summary.continued:
        yield f"{summary.continued:,} images were written by an earlier call"
    for note in summary.late_notes:
        yield f"note: {note.text}"
    yield from left_out_lines(summary.left_out)
    yield f"use it: trickbag train --data {summary.path}"


def _size(size: int) -> str:
    """Write a number of bytes: `2.1 MB`."""
    scale, unit = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    return f"{size / scale:,.1f} {unit}"
