"""Measure the training step of a recipe: images/s, its parts, and which of them is the longest.

Nothing is kept. The same network, images, tricks and threads as in `trickbag train` with these
options are measured for some seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.cli.recipe_options import add_recipe_options, recipe_from

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.bench.train import StepSpeed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from trickbag.cli.bench import add_measurement_options

    add_recipe_options(parser)
    add_measurement_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the measurement; return 0."""
    from trickbag.cli.bench import seconds_from
    from trickbag.cli.terminal import checking_progress, print_json, print_line

    seconds = seconds_from(args)
    recipe = recipe_from(args)
    from trickbag.bench.train import bench_train
    from trickbag.data.dataset import prepare

    with checking_progress() as progress:
        dataset = prepare(recipe.data, progress=progress, annotations=recipe.task.annotations)
    speed = bench_train(recipe, dataset, seconds=seconds)
    if args.json:
        print_json(speed.to_dict())
    else:
        for line in _lines(speed):
            print_line(line)
    return 0


def _lines(speed: StepSpeed) -> Iterator[str]:
    from trickbag.bench.train import PARTS
    from trickbag.cli.terminal import aligned
    from trickbag.data.size import size_text

    for note in speed.notes:
        yield f"note: {note}"
    compiled = ", compiled" if speed.compiled else ""
    threads = f", {speed.threads} threads" if speed.device == "cpu" else ""
    yield (
        f"recipe {speed.recipe}: {speed.network}, batches of {speed.batch_size} at "
        f"{size_text(speed.image_size)} px, {speed.device}{threads}, {speed.precision}, "
        f"{speed.layout}{compiled}, {speed.workers} workers"
    )
    low, high = speed.images_per_s_range
    yield (
        f"{speed.images_per_s:,.1f} images/s ({low:,.1f} to {high:,.1f} over blocks; "
        f"{speed.steps} steps in all)"
    )
    yield ""
    total = sum(speed.parts_ms.values())
    rows = [["part", "ms a step", "share", ""]]
    for part, part_ms in speed.parts_ms.items():
        rows.append([part, f"{part_ms:.2f}", f"{100 * part_ms / (total or 1):.0f} %", PARTS[part]])
    yield from aligned(rows)
    yield ""
    yield f"bottleneck: {speed.bottleneck}; what helps: {speed.advice}"
