"""A run's folder: the names of its files, and who may write in it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.errors import RunFailed, UserError
from trickbag.files import write_text
from trickbag.locks import locked_folder
from trickbag.models.weights_names import BEST_WEIGHTS, LAST_WEIGHTS
from trickbag.paths import exists, file_name
from trickbag.train.folder.epochs import read_epochs
from trickbag.train.probe.record import PROBE_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trickbag.errors import Note
    from trickbag.train.folder.caller import Caller

__all__ = ["RunFolder", "fresh_folder"]


def fresh_folder(name: str, root: Path = Path("runs")) -> Path:
    """Create a folder that nobody else has created: `runs/NAME-1`, `runs/NAME-2`, ...

    A name that would lead out of `runs`, or that a file system may refuse, is made one that fits.
    Raises UserError if the folder cannot be created.
    """
    name, number = file_name(name), 1
    while True:
        folder = root / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UserError(
                f"cannot make the folder {folder}: {error.strerror or error}"
            ) from error


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
    def image_scores(self) -> Path:
        """The scores of each image of the parts that are evaluated, of one label an image."""
        return self.path / "image_scores.npz"

    @property
    def probe(self) -> Path:
        """How a probe was chosen; a run that was trained has none."""
        return self.path / PROBE_FILE

    @property
    def data_errors(self) -> Path:
        """The files that were left out, each with the reason."""
        return self.path / "data_errors.csv"

    @property
    def holds_run(self) -> bool:
        """Whether a run was started in the folder."""
        return any(
            exists(file)
            for file in (self.recipe, self.metrics, self.checkpoint, self.best, self.result)
        )

    @contextlib.contextmanager
    def claimed(
        self, *, resume: bool, caller: Caller, busy: Callable[[str], None], new: bool = False
    ) -> Iterator[Note | None]:
        """Create the folder if need be, and be the only process to write in it within the block.

        Gives a note where the disk has no locks. `busy` and `new` are those of `locked_folder`: a
        new folder is removed if it is still empty at the end. Raises UserError if the folder cannot
        be created or locked, or if it holds a run and `resume` is not given.
        """
        with locked_folder(self.path, busy, new=new) as note:
            if self.holds_run and not resume:
                raise UserError(
                    f"{self.path} already holds a run: add {caller.resume} to continue it, or "
                    f"choose another {caller.out}"
                )
            # Of a run that was killed while it wrote.
            for unfinished in self.path.glob(".*.tmp"):
                with contextlib.suppress(OSError):
                    unfinished.unlink()
            yield note

    def read_metrics(self, epochs: int, needed: Iterable[str] = ()) -> list[dict[str, Any]]:
        """Read the lines of the first `epochs` epochs, as a run goes on with them.

        Each has a number under the `needed` names. Raises RunFailed if there are fewer lines, and
        UserError if one is damaged.
        """
        # A crash can have left a line behind them, or half of one.
        rows = read_epochs(self.metrics, epochs)
        if len(rows) < epochs:
            raise RunFailed(
                f"{self.metrics} has {len(rows)} lines, but its checkpoint is {epochs} epochs "
                "old: damaged"
            )
        needed = tuple(needed)
        for number, row in enumerate(rows, 1):
            if row["epoch"] != number:
                raise UserError(
                    f"cannot read {self.metrics}: epoch = {row['epoch']}: must be {number}"
                )
            if lacking := [name for name in needed if row.get(name) is None]:
                raise UserError(
                    f"cannot read {self.metrics}: the line of epoch {number} has no number "
                    f"{lacking[0]}"
                )
        return [dict(row) for row in rows]

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Write all lines, one JSON object an epoch."""
        write_text(self.metrics, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
