"""Claim the folder of a run: one process writes in it, from the first moment to the last."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.errors import Note, UserError
from trickbag.locks import refusal
from trickbag.train.folder.result import Result
from trickbag.train.folder.run_folder import RunFolder, fresh_folder
from trickbag.train.folder.run_recipe import RunRecipe

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.train.folder.caller import Caller
    from trickbag.train.machine.parallel import World
    from trickbag.train.machine.signals import StopSignal

__all__ = ["Claim", "OpenedRun"]


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A run's folder with what it held before this call; `note` says if its disk has no locks."""

    folder: RunFolder
    note: Note | None
    recipe: RunRecipe | None
    result: Result | None

    @property
    def has_plan(self) -> bool:
        """Whether the run got as far as its plan in a call before."""
        return self.recipe is not None and self.recipe.has_plan

    def release(self) -> None:
        """Give back what this call claimed, unless the run has got as far as its plan."""
        if self.recipe is None:
            with contextlib.suppress(UserError):
                claim = RunRecipe.read(self.folder.recipe)
                if claim is not None and not claim.has_plan:
                    self.folder.recipe.unlink()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a call of `fit` brings to the folder of its run."""

    recipe: Recipe
    seed: int
    out: Path | None
    resume: bool
    caller: Caller
    stop: StopSignal
    lock_timeout_s: float

    def open(self, world: World, held: contextlib.ExitStack) -> OpenedRun:
        """Claim the folder until `held` ends, by the first process for all.

        The folder holds recipe and seed from now on: checking the data can take minutes, after
        which a run that was killed can go on without its arguments.
        """
        # Two processes that both look at an empty folder would both take it for new.
        claimed = world.broadcast(partial(self._claim, held))
        path, note, stored, result = (claimed[key] for key in ("path", "note", "recipe", "result"))
        return OpenedRun(
            folder=RunFolder(Path(path)),
            note=None if note is None else Note.from_dict(note),
            recipe=None if stored is None else RunRecipe.from_dict(stored),
            result=None if result is None else Result.from_dict(result, path),
        )

    def _claim(self, held: contextlib.ExitStack) -> dict[str, Any]:
        folder = RunFolder(self.out if self.out is not None else self._fresh_folder())
        claimed = folder.claimed(
            resume=self.resume,
            caller=self.caller,
            busy=partial(self._refuse, folder, time.monotonic() + self.lock_timeout_s),
            new=self.out is None,
        )
        note = held.enter_context(claimed)
        stored = RunRecipe.read(folder.recipe)
        result = Result.read(folder.result, str(folder.path))
        if stored is None:
            RunRecipe.without_plan(self.recipe, self.seed).write(folder.recipe)
        return {
            "path": str(folder.path),
            "note": note and note.to_dict(),
            "recipe": stored and stored.to_dict(),
            "result": result and result.to_dict(),
        }

    def _fresh_folder(self) -> Path:
        source = Path(self.recipe.data.source).stem or "data"
        return fresh_folder(f"{self.recipe.name}-{source}".replace(":", "-"))

    def _refuse(self, folder: RunFolder, deadline: float, holder: str) -> None:
        """Give up waiting for the process that holds the folder, after a signal or the deadline."""
        self.stop.stop_before_training(f"the same {self.caller.call} starts the run")
        if time.monotonic() >= deadline:
            raise refusal(holder, folder.path, self.caller.out)
