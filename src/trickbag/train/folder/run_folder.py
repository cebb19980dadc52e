"""A run's folder: the names of its files, and who may write in it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.errors import RunFailed, UserError
from trickbag.files import write_text
from trickbag.models.weights_names import BEST_WEIGHTS, LAST_WEIGHTS

if TYPE_CHECKING:
    from trickbag.train.folder.caller import Caller

__all__ = ["RunFolder", "fresh_folder"]


def fresh_folder(name: str, root: Path = Path("runs")) -> Path:
    """Return a folder that does not exist yet: `runs/NAME-1`, `runs/NAME-2`, ..."""
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"


@dataclass(frozen=True)
class RunFolder:
    """The files of a run. Each is replaced as a whole: a crash leaves the old or the new one."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe with its plan."""
        return self.path / "recipe.json"

    @property
    def environment(self) -> Path:
        """The machine and the versions."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """One JSON line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Everything that resume needs."""
        return self.path / "last.ckpt"

    @property
    def best(self) -> Path:
        """The weights that the run keeps: of the best epoch, or of the last one."""
        return self.path / BEST_WEIGHTS

    @property
    def last(self) -> Path:
        """The weights of the last epoch, if the run has finished and keeps those of another."""
        return self.path / LAST_WEIGHTS

    @property
    def weights(self) -> tuple[Path, ...]:
        """The files of weights that a run may have."""
        return self.best, self.last

    @property
    def result(self) -> Path:
        """The result. It exists once the run has finished or failed."""
        return self.path / "result.json"

    @property
    def predictions(self) -> Path:
        """Predictions for the validation set."""
        return self.path / "predictions.csv"

    @property
    def data_errors(self) -> Path:
        """The files that were left out, each with the reason."""
        return self.path / "data_errors.csv"

    @property
    def holds_run(self) -> bool:
        """Whether a run was started in the folder."""
        return any(
            file.exists()
            for file in (self.recipe, self.metrics, self.checkpoint, self.best, self.result)
        )

    def claim(self, *, resume: bool, caller: Caller) -> bool:
        """Create the folder if need be, and tell whether it is new.

        Raises UserError if it cannot be created, or if it holds a run and `resume` is not given.
        """
        if self.holds_run and not resume:
            raise UserError(
                f"{self.path} already holds a run: add {caller.resume} to continue it, or choose "
                f"another {caller.out}"
            )
        new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot make the folder {self.path}: {error.strerror or error}"
            ) from error
        # Of a run that was killed while it wrote.
        for unfinished in self.path.glob(".*.tmp"):
            unfinished.unlink(missing_ok=True)
        return new

    def drop_if_empty(self) -> None:
        """Remove the folder if it is empty."""
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def read_metrics(self, epochs: int) -> list[dict[str, Any]]:
        """Read the lines of the first `epochs` epochs; RunFailed if there are fewer."""
        lines = (
            self.metrics.read_text(encoding="utf-8").splitlines() if self.metrics.exists() else []
        )
        if len(lines) < epochs:
            raise RunFailed(
                f"{self.metrics} has {len(lines)} lines, but its checkpoint is {epochs} epochs "
                "old: damaged"
            )
        return [json.loads(line) for line in lines[:epochs]]

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Write all lines, one JSON object an epoch."""
        write_text(self.metrics, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
