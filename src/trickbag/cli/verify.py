"""Train a shipped recipe again as it was measured, and tell whether its stated result holds.

Exits with 0 where it holds and with 1 where it does not. A recipe whose result is a paper's figure
on data that are not here exits with 2, and says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from trickbag.recipes.stated import MeasuredResult
    from trickbag.study.executors.local import Local
    from trickbag.study.verification import Verification


BUILT_IN = "digits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help="a name of trickbag list recipes")
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="the data of the result (default: digits, where the recipe states one of them)",
    )
    parser.add_argument("--init", metavar="WEIGHTS", help="the weights that the result starts from")
    parser.add_argument(
        "--seeds",
        metavar="N",
        help="fewer seeds than the stated result has, in a wider interval (default: all)",
    )
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", default="auto")
    parser.add_argument(
        "--workers", metavar="N", help="runs at a time (default: one a GPU, or as many as fit)"
    )
    parser.add_argument("--out", metavar="DIR", help="keep the runs; the same command goes on")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Train and compare; return 0 where the result holds, else 1."""
    from pathlib import Path
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.cli.terminal import checking_progress, print_json, print_line
    from trickbag.errors import UserError
    from trickbag.optim.config import Device
    from trickbag.parsing import parse
    from trickbag.ranges import Between
    from trickbag.study.limits import MAX_PROCESSES
    from trickbag.study.verification import (
        measured_result,
        require_measured,
        verification_recipe,
        verify,
    )

    results = require_measured(args.recipe)
    most = max(result.seeds for result in results)
    seeds = optional(Annotated[int, Between(1, most, capped=True)], args.seeds, "--seeds")
    workers = optional(
        Annotated[int, Between(1, MAX_PROCESSES, capped=True)], args.workers, "--workers"
    )
    device = parse(Device, args.device, "--device")
    source = BUILT_IN if args.data is None else args.data
    if args.data is None and all(result.data != BUILT_IN for result in results):
        raise UserError(f"{args.recipe} states {results[0].text}", "name these data: --data SOURCE")
    from trickbag.data.config import DataConfig
    from trickbag.data.dataset import prepare

    with checking_progress() as progress:
        dataset = prepare(DataConfig(source=source), progress=progress)
    stated = measured_result(args.recipe, dataset, source)
    if seeds is not None and seeds > stated.seeds:
        raise UserError(f"--seeds {seeds}: the result on {stated.data} is of {stated.seeds} seeds")
    recipe = verification_recipe(args.recipe, stated, source, device, args.init)
    note = _silent if args.json else print_line
    for line in _plan_lines(args.recipe, stated, seeds or stated.seeds):
        note(line)
    with _folder(args.out) as folder:
        verification = verify(
            args.recipe,
            stated,
            recipe,
            dataset,
            executor=_executor(workers),
            folder=Path(folder),
            seeds=seeds,
            note=note,
        )
    if args.json:
        print_json(verification.to_dict())
    else:
        print_line(_verdict(verification))
    return 0 if verification.holds else 1


def _silent(_: str) -> None:
    pass


def _plan_lines(name: str, stated: MeasuredResult, seeds: int) -> Iterator[str]:
    from trickbag.durations import about

    low, high = stated.prediction_interval(seeds)
    runs = "1 run" if seeds == 1 else f"{seeds} runs"
    yield f"{name} states {stated.text}"
    yield (
        f"it holds if the mean of {runs} is within {low:.2f} to {high:.2f} (95 %); a run trained "
        f"for {about(stated.seconds)} there"
    )


def _verdict(verification: Verification) -> str:
    low, high = verification.interval
    values = ", ".join(f"{value:.2f}" for value in verification.values)
    place = "within" if verification.holds else "above" if verification.mean > high else "below"
    verb = "holds" if verification.holds else "does not hold"
    return (
        f"{verification.recipe} {verb}: {verification.mean:.2f} % {verification.stated.metric} is "
        f"{place} {low:.2f} to {high:.2f} ({values})"
    )


def _folder(out: str | None) -> AbstractContextManager[Path | str]:
    """Return the folder of the runs, a temporary one where none is named."""
    import contextlib
    import tempfile
    from pathlib import Path

    if out is None:
        return tempfile.TemporaryDirectory(prefix="trickbag-verify-", ignore_cleanup_errors=True)
    return contextlib.nullcontext(Path(out))


def _executor(workers: int | None) -> Local:
    from trickbag.study.executors.local import Local

    return Local(workers=workers)
