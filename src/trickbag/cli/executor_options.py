"""The options that say who runs the trials of a study, or of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from trickbag.study.executors import Executor

__all__ = ["add_executor_options", "count_from", "executor_from"]


def add_executor_options(group: argparse._ArgumentGroup) -> None:
    """Add the executor, its workers and what it gives to a trial."""
    group.add_argument(
        "--executor", metavar="local|ray", help="default: local, worker processes of this machine"
    )
    group.add_argument(
        "--workers",
        metavar="N",
        help="trials at a time (default: one a GPU, or as many as have cores for their threads; "
        "on Ray as many as fit)",
    )
    group.add_argument(
        "--trials-per-gpu",
        metavar="N",
        help="trials at a time on each CUDA device, which share it (default: 1)",
    )
    group.add_argument(
        "--address",
        metavar="A",
        help="of a Ray cluster: auto or HOST (default: a Ray of this machine)",
    )
    group.add_argument("--cpus", metavar="N", help="cores of a trial on Ray (default: 1)")
    group.add_argument(
        "--gpus",
        metavar="N",
        help="devices of a trial on Ray, a fraction shares one (default: 1, if any)",
    )
    group.add_argument(
        "--devices", metavar="N", help="train each trial on N devices together, on Ray (default: 1)"
    )
    group.add_argument(
        "--retries", metavar="N", help="how often a trial that failed is tried again (default: 2)"
    )


def executor_from(args: argparse.Namespace) -> Executor:
    """Return the executor that the arguments describe."""
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.errors import UserError
    from trickbag.ranges import Above, AtLeast
    from trickbag.study.limits import MAX_PROCESSES, MAX_RETRIES

    workers = None if args.workers is None else count_from(args.workers, "--workers", MAX_PROCESSES)
    per_gpu = args.trials_per_gpu
    per_gpu = None if per_gpu is None else count_from(per_gpu, "--trials-per-gpu", MAX_PROCESSES)
    if workers is None and per_gpu is None and args.device == "mps":
        workers = 1  # a Mac has one GPU
    retries = (
        2 if args.retries is None else count_from(args.retries, "--retries", MAX_RETRIES, least=0)
    )
    if args.executor in (None, "local"):
        for option in ("address", "cpus", "gpus", "devices"):
            if getattr(args, option) is not None:
                raise UserError(f"--{option} is for --executor ray")
        from trickbag.study.executors.local import Local

        return Local(workers=workers, trials_per_gpu=per_gpu, retries=retries)
    if args.executor != "ray":
        raise UserError(f"--executor {args.executor!r}: must be one of local, ray")
    if per_gpu is not None:
        raise UserError(
            f"--trials-per-gpu {per_gpu} is for --executor local",
            "on Ray a fraction shares a device: --gpus 0.5 has two trials on each",
        )
    from trickbag.study.executors.ray import Ray

    return Ray(
        address=args.address,
        workers=workers,
        cpus=optional(Annotated[float, Above(0, MAX_PROCESSES)], args.cpus, "--cpus") or 1.0,
        gpus=optional(Annotated[float, AtLeast(0, MAX_PROCESSES)], args.gpus, "--gpus"),
        devices=1 if args.devices is None else count_from(args.devices, "--devices", MAX_PROCESSES),
        retries=retries,
    )


def count_from(text: str, option: str, most: int, least: int = 1) -> int:
    """Return a whole number of an option; UserError for one that is not from `least` to `most`."""
    from typing import Annotated

    from trickbag.parsing import parse
    from trickbag.ranges import AtLeast

    return int(parse(Annotated[int, AtLeast(least, most)], text, option))
