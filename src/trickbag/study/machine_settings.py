"""Threads and device of trials, which are part of what a trial is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from trickbag.optim.config import Device
    from trickbag.recipe import Recipe
    from trickbag.study.executors import Machine

__all__ = ["settled_on_machine"]


def settled_on_machine(
    recipe: Recipe, machine: Machine, threads: int | None = None, device: str | None = None
) -> Recipe:
    """Return a recipe with its threads and device: its own, else as before, else the machine's.

    `threads` and `device` are those of before, of a folder that holds trials already. Raises
    UserError for a device that is not here.
    """
    from trickbag.train.machine.device import choose_device

    training = recipe.training
    # Threads too: their number is the order in which sums are added up, and so the last bits.
    chosen = training.device
    if chosen == "auto":
        before = device if device in ("cpu", "cuda", "mps") else None
        chosen = cast("Device", before or machine.device or choose_device("auto"))
    elif machine.device is None:
        choose_device(chosen)  # raises UserError for a device that is not here
    training = dataclasses.replace(
        training, threads=training.threads or threads or machine.threads, device=chosen
    )
    return recipe.replace(training=training)
