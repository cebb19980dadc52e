"""The record that a study leaves in a trial's folder in the place of the weights it has deleted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from trickbag.errors import UserError
from trickbag.files import read_json_object, write_json

__all__ = ["DELETED_WEIGHTS", "DeletedWeights"]

DELETED_WEIGHTS = "deleted_weights.json"
"""The name of the record in a run's folder."""

SCHEMA = 1
"""Version of the record's plain data."""


@dataclass(frozen=True, kw_only=True)
class DeletedWeights:
    """Why a run's folder has no weights: its study does not keep them.

    `keep_weights` is the setting of the study, `seed` that of the run.
    """

    keep_weights: str
    seed: int

    def write(self, folder: Path) -> None:
        """Write the record into a run's folder, as a whole or not at all."""
        data = {"schema": SCHEMA, "keep_weights": self.keep_weights, "seed": self.seed}
        write_json(folder / DELETED_WEIGHTS, data)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read the record of a run's folder; None where there is none.

        Raises UserError where it is damaged or of another schema version.
        """
        file = folder / DELETED_WEIGHTS
        data = read_json_object(file)
        if data is None:
            return None
        schema, keep, seed = (data.get(key) for key in ("schema", "keep_weights", "seed"))
        if schema != SCHEMA:
            raise UserError(
                f"cannot read {file}: schema = {schema!r}: this version of trickbag reads {SCHEMA}"
            )
        if not isinstance(keep, str) or type(seed) is not int:
            raise UserError(f"cannot read {file}: it must have a text keep_weights and a seed")
        return cls(keep_weights=keep, seed=seed)

    def error(self, folder: Path) -> UserError:
        """Return the error of a command that needs the weights of a run's folder."""
        return UserError(
            f"the weights of {folder} were deleted when its trial had finished: the study keeps "
            f"weights by --keep-weights {self.keep_weights}",
            f"train it again (trickbag train {folder} --seed {self.seed} --out DIR), and let the "
            "next study keep what you need (--keep-weights full or all)",
        )
