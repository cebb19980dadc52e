"""The record of a line of `results.jsonl`: how a trial of a study ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.files import json_numbers
from trickbag.study.records.checks import text
from trickbag.train.folder.result import Result

if TYPE_CHECKING:
    from trickbag.study.trial import Trial

__all__ = ["StoredResult"]


@dataclass(frozen=True, kw_only=True)
class StoredResult(Result):
    """What `result.json` holds of a trial, and the name of its network as `model`.

    `label` is that of the trial's variant. A trial of status `does_not_apply` has the reason as its
    `error`. The scores of the classes are left out, which are long if there are many: they are in
    the trial's `result.json`.
    """

    model: str

    @classmethod
    def of(cls, result: Result, trial: Trial) -> StoredResult:
        """Return the result of a trial with the names that the study has for it."""
        named = {"label": trial.label, "model": trial.model, "classes": {}}
        return cls(**(vars(result) | named))

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of the line."""
        data = super().to_dict() | {"model": self.model}
        del data["classes"]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], folder: str = "") -> StoredResult:
        """Return the result of a line; UserError where a part is missing or of a wrong type.

        Lines that were written before notes and status were values are read.
        """
        result = Result.from_dict(data, folder)
        # The trials of a study keep the last epoch's weights, which those of version 1 are read as.
        if result.is_of_version_1:
            result = result.of_last_epoch()
        json_numbers(result.metrics, "metrics")
        return cls(**vars(result), model=text(data, "model", "result"))
