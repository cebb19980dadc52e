"""`--speed`: throughput, latency and peak memory of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.cli.evaluations.kind import Outcome

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.cli.evaluations.kind import Request
    from trickbag.evaluate.speed import Speed
    from trickbag.evaluate.trained import Trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    group = parser.add_argument_group("speed")
    group.add_argument(
        "--speed",
        action="store_true",
        help="measure throughput (batches of --batch-size), latency and peak memory",
    )


def settings(args: argparse.Namespace) -> bool | None:
    """Return whether the speed is asked for, or None."""
    return True if args.speed else None


def evaluate(trained: Trained, settings: bool, request: Request) -> Outcome:
    """Measure the network on the images of the request."""
    from trickbag.evaluate.speed import measure_speed

    speed = measure_speed(
        trained,
        data=request.data,
        image_root=request.image_root,
        part=request.part,
        batch_size=request.batch_size,
    )
    return Outcome(data={"speed": speed.to_dict()}, lines=list(_lines(speed)))


def _lines(speed: Speed) -> Iterator[str]:
    threads = f", {speed.threads} threads" if speed.device == "cpu" else ""
    single, batch = speed.repetitions
    yield f"speed on {speed.device}{threads}, in {speed.precision}, of crops in memory:"
    yield f"  {speed.throughput:,.1f} images/s in batches of {speed.batch_size} ({batch} calls)"
    yield (
        f"  {speed.latency_median_ms:.2f} ms an image alone, 95 % within "
        f"{speed.latency_p95_ms:.2f} ms ({single} calls)"
    )
    if speed.peak_memory is not None:
        of = "of tensors" if speed.device.startswith("cuda") else "of the process"
        yield f"  peak memory {speed.peak_memory / 2**20:,.0f} MiB {of}"
