"""What depends on the number of processes that train a run together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trickbag.errors import Note, UserError
from trickbag.models.task_config import ClassificationConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.optim.config import TrainConfig
    from trickbag.train.plan.plan import Plan

__all__ = ["divided_anew", "division_note", "require_eager", "sync_notes"]


def require_eager(training: TrainConfig, processes: int) -> TrainConfig:
    """Return an optimisation that is not compiled where BatchNorm waits for other processes.

    A graph has no place for that. Raises UserError if the recipe asks for one.
    """
    if not training.sync_batch_norm or processes == 1:
        return training
    if training.compile == "on":
        raise UserError(
            "training.sync_batch_norm = True: the processes exchange statistics in the middle of a "
            "step, which cannot be compiled",
            "--set training.compile=off, or --set training.sync_batch_norm=false",
        )
    return replace(training, compile="off")


def sync_notes(plan: Plan) -> list[Note]:
    """Return a note where `training.sync_batch_norm` is set and changes nothing."""
    if not plan.training.sync_batch_norm:
        return []
    reason = None
    if plan.processes == 1:
        reason = "one process trains the run"
    elif plan.training.batch_norm == "frozen":
        reason = "training.batch_norm=frozen takes no statistics of batches"
    elif plan.task == ClassificationConfig():
        from trickbag.models.stages import running_norms
        from trickbag.models.zoo import build_on_shapes

        if not running_norms(build_on_shapes(plan.model)):
            reason = "no normalisation of the network takes statistics of batches"
    if reason is None:
        return []
    return [Note("no_effect", None, f"training.sync_batch_norm changes nothing: {reason}")]


def divided_anew(resolved: Mapping[str, Any], anew: Plan) -> dict[str, Any]:
    """Return a stored plan for the processes of `anew`, the same recipe resolved for them.

    The workers and the threads of each process are those of `anew`: so many as leave a machine's
    cores to all its processes. So is, with synchronised BatchNorm, whether the step is compiled.
    All else stays, such as precision and memory layout, which this machine might choose otherwise.
    """
    changed: dict[str, Any] = {
        "processes": anew.processes,
        # Runs of before have these two at the top alone, where they count more than in their parts.
        "workers": anew.workers,
        "threads": anew.threads,
    }
    training: dict[str, Any] = {"threads": anew.threads}
    if anew.training.sync_batch_norm:
        training["compile"] = anew.training.compile
        changed["compile"] = anew.compile
    changed["data"] = {**resolved.get("data", {}), "workers": anew.workers}
    changed["training"] = {**resolved.get("training", {}), **training}
    return {**resolved, **changed}


def division_note(before: int, now: int) -> Note:
    """Say what stays the same and what does not where the number of processes changes."""
    return Note(
        "choice",
        None,
        f"the run was begun with {_count(before)} and goes on with {now}: the images of each "
        "batch, their crops, random changes and partners, and the learning rates stay the same; "
        "the statistics of BatchNorm, if not synchronised, and the draws of layers such as dropout "
        "are of other parts of a batch, and sums are added in another order",
    )


def _count(processes: int) -> str:
    return f"{processes} process" + ("es" if processes != 1 else "")
