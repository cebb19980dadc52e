"""The program of each process of `test_parallel.py`: steps on its rows, an error, collectives."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from tests.train.test_step import make_run, raw_batch
from trickbag.data.loading.loader import share_of
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.errors import DoesNotApply, TrickbagError
from trickbag.train.checkpoint import Progress, Totals
from trickbag.train.machine.launch import launched_group
from trickbag.train.machine.parallel import StepStatus, World, process_world
from trickbag.train.run import Run
from trickbag.train.step import train_step
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.dropout import Dropout
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.pca_noise import PCANoise
from trickbag.tricks.sam import Sam
from trickbag.tricks.stochastic_depth import StochasticDepth

STEPS = 2
ROWS = 21
"""Odd, so that the shares differ."""

SCENARIOS: dict[str, tuple[Any, ...]] = {
    "mixed": (Mixup(alpha=1.0, lam="pair"), LabelSmoothing(), PCANoise()),
    "uphill": (Mixup(alpha=1.0), Sam()),
    "dropping": (StochasticDepth(drop_prob=0.5), Dropout(drop_prob=0.5), Sam()),
    "alone": (LabelSmoothing(), PCANoise(), ColorJitter(form="code")),
    "synchronised": (Mixup(alpha=1.0), LabelSmoothing(), Sam()),
}

SYNCHRONISED = {"training.sync_batch_norm": "true", "model": "timm:test_efficientnet"}
"""A network whose batch normalisations are subclasses of torch's, with an activation."""


def steps(pictures: Path, scenario: str, world: World, accumulate: int = 1) -> tuple[Run, Totals]:
    """Train some steps on an effective batch; three images of its first half cannot be read."""
    size = {"training.batch_size": str(ROWS), "training.clip_norm": "0.5"}
    if scenario == "synchronised":
        size |= SYNCHRONISED
    run = make_run(
        pictures, *SCENARIOS[scenario], accumulate=accumulate, rows=ROWS, world=world, **size
    )
    progress = Progress.start(run.device)
    run.network.train()
    batch = raw_batch(ROWS)
    batch = batch._replace(valid=torch.arange(ROWS) >= 3)
    for step in range(STEPS):
        raw = RawBatch(*(tensor[share_of(ROWS, world.rank, world.size)] for tensor in batch))
        valid = world.all_reduce_status(StepStatus(int(raw.valid.sum()))).valid
        train_step(
            run, run.gather(raw), run.draw(run.plan.timestamp(0, step)), 0.1, valid, progress
        )
    return run, Totals.of(world.all_gather(progress.share()))


def main(pictures: Path, out: Path) -> None:
    with launched_group() as first:
        torch.set_num_threads(1)
        for scenario in SCENARIOS:
            with process_world() as world:
                run, totals = steps(pictures, scenario, world)
            state = {"totals": list(totals), "network": dict(run.network.named_parameters())}
            state["buffers"] = dict(run.network.named_buffers())
            torch.save(state, out / f"{scenario}-{world.rank}.pt")
        received: dict[str, Any] = {"first": first, "rank": world.rank}
        try:
            with process_world() as world:
                if not first:
                    raise DoesNotApply("the second process has no slot", "Take it out")
                world.all_reduce_status(StepStatus())
        except TrickbagError as error:
            received |= {
                "reason": error.reason,
                "way_out": error.way_out,
                "kind": type(error).__name__,
                "elsewhere": error.elsewhere,
            }
        # After an error that all processes have, the process group still works.
        with process_world() as world:
            received["status"] = list(
                world.all_reduce_status(
                    StepStatus(3 + world.rank, "" if first else "SIGTERM", first, 1 + world.rank)
                )
            )
            received["broadcast"] = world.broadcast(lambda: {"rank": world.rank})
            tensor = torch.full((2, 3), float(world.rank), requires_grad=True)
            world.broadcast_tensors([tensor])
            received["tensor"] = tensor.tolist()
        (out / f"received-{world.rank}.json").write_text(json.dumps(received))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
