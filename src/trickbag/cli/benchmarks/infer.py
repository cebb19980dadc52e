"""Measure the predictions of a network: images/s in each way to compute it, and its parts.

The network is that of a run, or one by its name, such as timm:resnet50, with initial values:
weights change no time. Ways are precision, memory layout and batch normalisation that is folded
into the convolutions; each says how far its logits are from those in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from trickbag.cli.options import RUN_HELP, add_precision

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.bench.infer import InferenceSpeed, Way
    from trickbag.evaluate.trained import Trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from trickbag.cli.bench import add_measurement_options

    parser.add_argument("run", metavar="RUN|NAME", help=f"{RUN_HELP}; or timm:NAME")
    parser.add_argument(
        "--data", metavar="SOURCE", help="the images whose loading is measured (default: the run's)"
    )
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", default="auto")
    add_precision(parser)
    parser.add_argument("--batch-size", metavar="N")
    add_measurement_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the measurement; return 0."""
    from trickbag.cli.bench import seconds_from
    from trickbag.cli.options import optional
    from trickbag.cli.terminal import print_json, print_line
    from trickbag.optim.config import MAX_BATCH
    from trickbag.ranges import AtLeast

    seconds = seconds_from(args)
    batch_size = optional(Annotated[int, AtLeast(1, MAX_BATCH)], args.batch_size, "--batch-size")
    trained = _trained(args)
    from trickbag.bench.infer import bench_infer

    speed = bench_infer(trained, data=args.data, batch_size=batch_size, seconds=seconds)
    if args.json:
        print_json(speed.to_dict())
    else:
        for line in _lines(speed):
            print_line(line)
    return 0


def _trained(args: argparse.Namespace) -> Trained:
    """Return the network of a run, or one by its name."""
    from pathlib import Path

    from trickbag.cli.options import precision_of
    from trickbag.errors import UserError
    from trickbag.evaluate.network import initial_network
    from trickbag.evaluate.trained import Trained
    from trickbag.models.config import model_config
    from trickbag.optim.config import Device
    from trickbag.parsing import parse

    precision = precision_of(args)
    device = parse(Device, args.device, "--device")
    if Path(args.run).exists():
        return Trained.load(args.run, device, precision)
    try:
        model_config(args.run)
    except UserError:
        if args.run.startswith("timm:"):
            raise
        return Trained.load(args.run, device, precision)  # says that there is no such run
    return initial_network(args.run, device, precision)


def _lines(speed: InferenceSpeed) -> Iterator[str]:
    from trickbag.cli.terminal import aligned
    from trickbag.data.size import size_text

    threads = f", {speed.threads} threads" if speed.device == "cpu" else ""
    yield f"{speed.network} at {size_text(speed.image_size)} px on {speed.device}{threads}"
    yield ""
    heads = ["way", "batch", "images/s", "from", "to", "difference of logits"]
    yield from aligned([heads, *map(_row, (*speed.ways, *speed.batches))])
    yield ""
    yield from aligned(
        [["part", "ms an image"], *([part, f"{ms:.3f}"] for part, ms in speed.parts_ms.items())]
    )
    yield ""
    first, fastest = speed.ways[0], speed.fastest
    yield (
        f"evaluate and predict: {first.title}, {first.images_per_s:,.1f} images/s; fastest: "
        f"{fastest.title}, batches of {fastest.batch_size}, {fastest.images_per_s:,.1f} images/s"
    )
    yield f"bottleneck: {speed.bottleneck}; what helps: {speed.advice}"


def _row(way: Way) -> list[str]:
    low, high = way.images_per_s_range
    rates = (f"{rate:,.1f}" for rate in (way.images_per_s, low, high))
    return [way.title, str(way.batch_size), *rates, f"{way.difference:.1e}"]
