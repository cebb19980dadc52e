"""Compiled steps that runs share: in one process for all seeds, and on disk for all processes."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from trickbag.data.decoding.cache import cache_folder
from trickbag.errors import Note
from trickbag.recipe import digest
from trickbag.settings import plain
from trickbag.train.build import build
from trickbag.train.folder.identity import teachers_of
from trickbag.train.torn_code import remove_torn_code

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.train.machine.parallel import World
    from trickbag.train.plan.plan import Plan
    from trickbag.train.run import Run
    from trickbag.train.teachers.cached import OnProgress
    from trickbag.tricks.trick import Trick

__all__ = ["CompileCache", "keep_on_disk"]

_PLACE = "TORCHINDUCTOR_CACHE_DIR"


def keep_on_disk() -> list[Note]:
    """Let torch keep compiled code in the user's cache folder, if the environment names no other.

    Torch's own choice is a folder among temporary files, which does not outlive a restart. Torch
    decides by the content of a graph, its own version and the device whether what is there fits.
    What a process that was killed has left torn there is removed, and a note says so; a folder that
    somebody else has named is left alone.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # Torch writes its own choice into the environment as soon as it is asked for it.
    folder = cache_folder() / "compiled"
    if os.environ.get(_PLACE) in (None, default_cache_dir()):
        os.environ[_PLACE] = str(folder)
    if os.environ[_PLACE] != str(folder):
        return []
    removed = remove_torn_code(folder)
    if not removed:
        return []
    count = f"{len(removed)} file" + ("s" if len(removed) != 1 else "")
    reason = (
        f"{count} of compiled code in {folder} {'were' if len(removed) != 1 else 'was'} torn, as a "
        f"process leaves them that is killed while it compiles ({removed[0]}): removed, and "
        "compiled anew where needed"
    )
    return [Note("damage", None, reason)]


class CompileCache:
    """Builds runs, and reuses a compiled one for a plan that differs in the seed alone.

    A run that is reused starts as a new one would, bit for bit; the run before must have ended.
    Runs that are not compiled are not kept. What torch generates for a graph is kept on disk, see
    `keep_on_disk`: another process, such as another worker of a study, reads it there.
    """

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    def build(
        self,
        plan: Plan,
        tricks: tuple[Trick, ...],
        dataset: Dataset | None = None,
        on_progress: OnProgress | None = None,
        world: World | None = None,
    ) -> tuple[Run, list[Note]]:
        """Build the run of a plan, as `trickbag.train.build.build` does."""
        repairs = keep_on_disk() if plan.compile else []
        # Even where a compiled run is kept: that one takes its initial state from this one.
        run, notes = build(plan, tricks, dataset, on_progress, world)
        notes = [*repairs, *notes]
        if not plan.compile:
            return run, notes
        # Tricks and teachers are constants of a graph. Teachers count by their weights: the file at
        # a path may be another one by now.
        key = digest(
            {
                "plan": plain(dataclasses.replace(plan, seed=0)),
                "tricks": [repr(trick) for trick in tricks],
                "teachers": teachers_of(tricks),
            }
        )
        kept = self._runs.setdefault(key, run)
        if kept is not run:
            kept.take_initial_state(run)
        return kept, notes
