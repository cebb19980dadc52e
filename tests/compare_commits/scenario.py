"""What a scenario is, and the options that many of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BARE",
    "CPU",
    "LAYERS",
    "QUICK",
    "SHAPES",
    "SMALL",
    "THIN",
    "Scenario",
    "Step",
    "run",
    "train",
]

How = Literal["call", "process", "torchrun", "stop", "copy"]


@dataclass(frozen=True)
class Step:
    """One thing that a scenario does, in the folder that holds the data and all scenarios.

    `how`: `call` runs a command in the process of all scenarios, `process` in one of its own,
    `torchrun` in two that train together; `stop` sends SIGTERM to one once the file `until` is
    there; `copy` copies the folder that comes first in `text` to the second. `output` is the file
    that takes what the command prints. `other_exit_code` is one that a commit may give too.
    """

    text: str
    how: How = "call"
    exit_code: int = 0
    other_exit_code: int | None = None
    output: str = ""
    until: str = ""


@dataclass(frozen=True)
class Scenario:
    """Steps that leave files in a folder of the scenario's name.

    `needs` are scenarios whose folders it reads. `reads_before` says that AFTER runs it once more,
    on what BEFORE left. `alike` are pairs of runs or studies of one commit that must be equal.
    `trick` is the trick that has to be there. `compared` is False where what is left depends on
    when a signal came.
    """

    name: str
    what: str
    steps: tuple[Step, ...]
    needs: tuple[str, ...] = ()
    reads_before: bool = False
    alike: tuple[tuple[str, str], ...] = ()
    trick: str = ""
    compared: bool = True


CPU = "--device cpu --set training.threads=1"
THIN = "--set model.width_factor=0.25"
QUICK = f"{CPU} --set data.workers=0 --image-size 16 --batch-size 8"
SHAPES = f"--data data/shapes {QUICK}"
BARE = f"data/bare.yaml {SHAPES} --epochs 2"
SMALL = f"small {SHAPES} {THIN}"
"""The recipe `small` at a width at which a run takes about a second."""

LAYERS = "--with drop_block --with stochastic_depth --with dropout"
"""Layers that draw for themselves."""


def train(out: str, text: str, how: How = "call", exit_code: int = 0) -> Step:
    """Train a run into the folder `out`."""
    return Step(f"train {text} --out {out}", how, exit_code)


def run(name: str, what: str, text: str, needs: tuple[str, ...] = ()) -> Scenario:
    """Return the scenario of one run."""
    return Scenario(name, what, (train(f"{name}/run", text),), needs)
