"""Whether the step of a run is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trickbag.errors import Note

if TYPE_CHECKING:
    from trickbag.optim.config import TrainConfig

__all__ = ["COMPILED_STEPS", "is_compiled", "mode_notes"]

COMPILED_STEPS = 1000
"""The fewest steps of a run that `auto` compiles, on a GPU.

Compiling takes from 20 seconds to minutes: a shorter run would have to win more than 20
milliseconds in each step.
"""


def is_compiled(
    setting: Literal["auto", "on", "off"], device: str, steps: int
) -> tuple[bool, list[Note]]:
    """Return whether a run of so many steps is compiled, and a note where it is too short for that.

    By the number of steps and not by a clock, so that every machine decides alike.
    """
    if setting != "auto":
        return setting == "on", []
    if device != "cuda":
        return False, []
    if steps >= COMPILED_STEPS:
        return True, []
    reason = (
        f"the step is not compiled: {steps:,} steps are fewer than {COMPILED_STEPS:,}, too few to "
        "win back the time that compiling takes (--set training.compile=on compiles)"
    )
    return False, [Note("choice", None, reason)]


def mode_notes(training: TrainConfig, device: str, compiles: bool) -> list[Note]:
    """Return a note where `training.compile_mode` is set and changes nothing."""
    if training.compile_mode == "default":
        return []
    if device != "cuda":
        reason = f"CUDA graphs are of a CUDA device, and this run is on {device.upper()}"
    elif not compiles:
        reason = "the step is not compiled (--set training.compile=on compiles it)"
    elif training.accumulate > 1:
        reason = "batches are computed in parts (training.accumulate)"
    else:
        return []
    text = f"training.compile_mode={training.compile_mode} changes nothing: {reason}"
    return [Note("no_effect", None, text)]
