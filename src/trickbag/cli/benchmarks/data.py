"""Measure the loading of training images: images/s of one core, from a source and from its packs.

Beside them torchvision's transforms on Pillow's images, in turns in the same process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.bench.data import DataBench

_TITLES = {
    "original": "as they are",
    "packed_jpeg": "pack of JPEGs",
    "packed_raw": "pack of pixels",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from trickbag.cli.bench import add_measurement_options
    from trickbag.cli.recipe_options import add_places

    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="digits, a folder, a CSV file, torchvision:NAME, hf:NAME, or wds:URL",
    )
    add_places(parser)
    parser.add_argument(
        "--image-size",
        metavar="PX",
        help="side of the training images, or HxW (default: that of the source, or 224)",
    )
    parser.add_argument(
        "--set",
        metavar="data.NAME=VALUE",
        action="append",
        default=[],
        help="change a setting of the data, such as data.interpolation=bicubic",
    )
    add_measurement_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the measurement; return 0."""
    from trickbag.cli.bench import seconds_from
    from trickbag.cli.recipe_options import data_settings
    from trickbag.cli.terminal import checking_progress, print_json, print_line

    seconds = seconds_from(args)
    if args.image_size is not None:
        # First, so that a `--set` of the same setting wins, as over other options.
        args.set = [f"data.image_size={args.image_size}", *args.set]
    data = data_settings(args, "bench")
    from trickbag.bench.data import bench_data

    with checking_progress() as progress:
        measured = bench_data(data, seconds=seconds, progress=progress)
    if args.json:
        print_json(measured.to_dict())
    else:
        for line in _lines(measured):
            print_line(line)
    return 0


def _lines(measured: DataBench) -> Iterator[str]:
    from trickbag.cli.terminal import aligned, left_out_lines
    from trickbag.data.size import size_text

    yield (
        f"{measured.source}: {measured.images:,} images, crops of "
        f"{size_text(measured.image_size)} px, one core, {measured.rounds:,} rounds"
    )
    yield ""
    steps = list(measured.paths[0].steps_ms)
    yield from aligned(
        [
            ["images", "images/s", "ratio", *(f"{step} ms" for step in steps)],
            ["torchvision, Pillow", f"{measured.images_per_s:,.0f}", "1.00", *("-" for _ in steps)],
            *(
                [
                    _TITLES[path.name],
                    f"{path.images_per_s:,.0f}",
                    f"{path.ratio:.2f}",
                    *(f"{path.steps_ms[step]:.3f}" for step in steps),
                ]
                for path in measured.paths
            ),
        ]
    )
    yield ""
    yield f"bottleneck: {measured.bottleneck}; what helps: {measured.advice}"
    if not measured.region_decoding:
        yield (
            "JPEGs are decoded in whole rows: with the library TurboJPEG 3 (pip install "
            "'trickbag[turbo]') no more is decoded than a crop takes"
        )
    yield from left_out_lines(measured.left_out)
