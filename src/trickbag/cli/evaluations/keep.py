"""The record of an evaluation in the folder of its run, where the report shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import Note, RunFailed
from trickbag.models.weights_names import folder_of_run

if TYPE_CHECKING:
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained

__all__ = ["keep_record"]


def keep_record(record: EvaluationRecord, trained: Trained, *, sources: int) -> list[Note]:
    """Write a record into the folder of the run; return notes that say why it could not be.

    `sources` is the number of sources that the command evaluates: the folder has a place for one.
    """
    reason = None
    if trained.record is None:
        reason = "the weights do not lie in the folder of a run"
    elif sources > 1:
        reason = f"a run keeps the evaluation of one source, and {sources} were given"
    else:
        try:
            record.write(folder_of_run(trained.path))
        except RunFailed as error:
            reason = error.reason
        except OSError as error:
            reason = error.strerror or str(error)
    if reason is None:
        return []
    return [Note("folder", None, f"the evaluation {record.kind} is not kept: {reason}")]
