"""Checkpoints: everything that a run needs to resume bit for bit, in a file that runs no code."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch

from trickbag.checksums import DamagedFile, has_seal, sealed
from trickbag.errors import UserError, first_line, memory_failure
from trickbag.files import named_warnings, replacing
from trickbag.metrics.precision import exact_dtype
from trickbag.models.weights import read_tensors
from trickbag.paths import WEIGHTS, exists, require_regular
from trickbag.train.run import BatchDivision, Run
from trickbag.train.stored_state import require_state

__all__ = [
    "SCHEMA",
    "Progress",
    "Share",
    "Totals",
    "damage",
    "load_state",
    "remove_damaged",
    "require_weights",
    "restore",
    "save",
]

SCHEMA = 2
"""Version of a checkpoint's content."""

_SEALED = "has_checksum"
"""The key that tells a checkpoint that has lost its checksum from one written before there were."""


@dataclass
class Progress:
    """The position of a run, with its sums over the epoch so far.

    `step` updates of `epoch`, from 0, are done. If several processes train together, each has the
    sums over its own rows; `Totals` are those of all. `first_bad` is the first step of the run,
    from 0, whose loss was not finite, -1 if there is none. `bad_files` are files that could not be
    read in training, name to reason. `best_score` and `best_loss` are those of the best epoch so
    far, and `best_epoch` is its number, from 1; a score is None if no epoch has a defined one.
    `seconds` are those of the steps of the epoch so far, `elapsed_s` those of all parts of the run,
    with their validations.
    """

    epoch: int
    step: int
    loss_sum: torch.Tensor
    correct: torch.Tensor
    count: torch.Tensor
    first_bad: torch.Tensor
    best_score: float | None = None
    best_loss: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    elapsed_s: float = 0.0
    bad_files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def start(cls, device: torch.device) -> Progress:
        """Return the progress of a run before its first step."""
        # In float32 counts are exact up to 2**24 only, and the sum of losses would lose digits.
        zero = torch.zeros((), dtype=exact_dtype(device), device=device)
        bad = torch.full((), -1, dtype=torch.int64, device=device)
        return cls(0, 0, zero.clone(), zero.clone(), zero.clone(), bad)

    def share(self) -> Share:
        """Return this process's share of the totals; waits for the device."""
        return [float(self.loss_sum), float(self.correct), float(self.count), int(self.first_bad)]

    def next_epoch(self) -> None:
        """Move to the start of the next epoch."""
        self.epoch, self.step, self.seconds = self.epoch + 1, 0, 0.0
        for total in (self.loss_sum, self.correct, self.count):
            total.zero_()


Share = list[float]
"""One process's loss sum, correct and counted images of the epoch so far, and its `first_bad`."""


class Totals(NamedTuple):
    """The sums over all processes of a run; `first_bad` is the first step that was bad in any."""

    loss_sum: float
    correct: float
    images: float
    first_bad: int

    @classmethod
    def of(cls, shares: Iterable[Share]) -> Totals:
        """Add the shares of the processes."""
        loss_sum, correct, images, bad = zip(*shares, strict=True)
        first_bad = int(min((step for step in bad if step >= 0), default=-1))
        return cls(sum(loss_sum), sum(correct), sum(images), first_bad)

    @property
    def loss(self) -> float | None:
        """The mean loss of an image; None without images."""
        return self.loss_sum / self.images if self.images else None

    @property
    def top1(self) -> float | None:
        """The percentage of images whose class was the most probable one; None without images."""
        return 100 * self.correct / self.images if self.images else None


def save(
    path: Path, run: Run, progress: Progress, trial: str, others: Sequence[Share] = ()
) -> None:
    """Write a checkpoint with its checksum: to a temporary file, which is synced and renamed.

    `others` are the shares of the other processes within an epoch, in the order of ranks. Raises
    RunFailed if it cannot be written.
    """
    state = {
        "schema": SCHEMA,
        "trial": trial,
        "network": run.network.state_dict(),
        "average": run.average.network.state_dict() if run.average is not None else None,
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        # As a dict: with `weights_only` torch would refuse to read an object of this class.
        "progress": {item.name: getattr(progress, item.name) for item in fields(progress)},
        "others": [list(share) for share in others],
        _SEALED: True,
    }
    if run.divisions:
        state["divisions"] = [list(division) for division in run.divisions]
    kept = "; the previous checkpoint is intact" if path.exists() else ""
    with replacing(path, lambda: kept) as file, sealed(file) as summed:
        try:
            torch.save(state, summed)
        except RuntimeError as error:
            # After a failed write torch's writer reports its position, and not the full disk.
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def damage(path: Path) -> str | None:
    """Return what is wrong with the bytes of a checkpoint; None if they are those that were saved.

    Those written before checkpoints had a checksum have the sums of a zip archive alone, which miss
    what lies between its members. Raises OSError.
    """
    try:
        if has_seal(path):
            return None
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
            if bad is not None:
                return f"the checksum of {bad} does not match"
            # It lies in the pickled part, which is small.
            texts = (archive.read(name) for name in archive.namelist() if name.endswith(".pkl"))
            return "its checksum is gone" if any(_SEALED.encode() in t for t in texts) else None
    except DamagedFile as error:
        return str(error)
    except (OSError, UserError):
        raise
    except Exception as error:  # zipfile raises many kinds for a damaged file
        return f"{type(error).__name__}: {first_line(error)}"


def remove_damaged(path: Path, weights: Path) -> str | None:
    """Remove a checkpoint if it, or the weights that its run has kept, are damaged.

    Returns a text that says so, None if there is nothing to remove.
    """
    try:
        file, problem = path, damage(path)
        if problem is None:
            file, problem = weights, _damage_of_weights(weights)
        if problem is None:
            return None
        path.unlink()
    except (OSError, UserError):
        # There is none; or it cannot be read, which `restore` reports.
        return None
    return f"{file.name} was damaged ({problem}): the run was trained anew from the beginning"


def require_weights(weights: Path, *, way_out: str) -> None:
    """Raise UserError, with `way_out`, if the weights that a run has kept so far are damaged."""
    problem = _damage_of_weights(weights)
    if problem is not None:
        raise UserError(
            f"the weights {weights} that the run has kept are damaged ({problem})",
            f"put a copy in their place, remove the checkpoint beside them to train from the "
            f"beginning, or {way_out}",
        )


def _damage_of_weights(weights: Path) -> str | None:
    if not exists(weights):
        return None
    try:
        read_tensors(weights)
    except UserError:
        return "they cannot be read, or their checksum does not match"
    return None


def restore(path: Path, run: Run, trial: str, *, way_out: str) -> Progress:
    """Load a checkpoint into a run; return its progress, with the sums of this process.

    Raises UserError, with `way_out`, if the file is damaged, of another version or of another
    trial.
    """
    try:
        require_regular(path, WEIGHTS)
        problem = damage(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", way_out) from error
    except UserError as error:
        raise UserError(error.reason, way_out) from error
    if problem is not None:
        raise UserError(
            f"the checkpoint {path} is damaged ({problem})",
            f"put a copy in its place, remove it to train from the beginning, or {way_out}",
        )
    try:
        # weights_only: a checkpoint from elsewhere must not be able to run code.
        with named_warnings(path):
            state: dict[str, Any] = torch.load(path, map_location=run.device, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        if failure := memory_failure(error):
            raise failure from error
        raise UserError(
            f"cannot read the checkpoint {path}: {type(error).__name__}", way_out
        ) from error
    if not isinstance(state, dict) or _identity(state) != (SCHEMA, trial):
        raise UserError(f"{path} is the checkpoint of another trial or version", way_out)
    try:
        require_state(state, run)
        progress = load_state(state, run)
    except UserError as error:
        raise UserError(f"cannot read the checkpoint {path}: {error.reason}", way_out) from error
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        # What torch raises for state that is not this run's.
        raise UserError(
            f"cannot read the checkpoint {path}: {first_line(error)}", way_out
        ) from error
    return progress


def _identity(state: dict[str, Any]) -> tuple[int | None, str | None]:
    """Return schema version and trial of a checkpoint; None for a value of another type."""
    schema, trial = state.get("schema"), state.get("trial")
    return (
        schema if type(schema) is int else None,
        trial if isinstance(trial, str) else None,
    )


def load_state(state: dict[str, Any], run: Run) -> Progress:
    """Load a checkpoint's content, whose form was checked; return the progress."""
    run.network.load_state_dict(state["network"])
    if run.average is not None:
        run.average.network.load_state_dict(state["average"])
    # A setting that the file lacks, as of another version of torch, is the run's.
    groups = zip(run.optimizer.param_groups, state["optimizer"]["param_groups"], strict=True)
    filled = [{**group, **stored} for group, stored in groups]
    run.optimizer.load_state_dict({**state["optimizer"], "param_groups": filled})
    if run.scaler.is_enabled():
        run.scaler.load_state_dict(state["scaler"])
    run.divisions = tuple(BatchDivision(*division) for division in state.get("divisions", ()))
    progress = Progress(**state["progress"])
    run.begin_at(run.plan.timestamp(progress.epoch, progress.step))
    # Checkpoints written before had -1 for a score that is not defined, and no loss.
    if "best_loss" not in state["progress"] and (progress.best_score or 0.0) < 0:
        progress.best_score = None
    share = _share_of(state["others"], progress, run.world.rank, run.world.size)
    # Without `first_bad`, a share's last: after a loss that was not finite nothing is saved.
    for total, value in zip(
        (progress.loss_sum, progress.correct, progress.count), share, strict=False
    ):
        total.fill_(value)
    return progress


def _share_of(others: Sequence[Share], progress: Progress, rank: int, size: int) -> Share:
    """Return the sums of a process so far; `progress` has those of the first one.

    If other processes than those that saved them go on, the first one has the sums of all.
    """
    if len(others) == size - 1:
        return progress.share() if rank == 0 else others[rank - 1]
    if rank > 0:
        return [0.0, 0.0, 0.0]
    return [sum(values) for values in zip(progress.share()[:3], *others, strict=False)]
