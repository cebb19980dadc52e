"""The record of an evaluation in the folder of its run, where the report shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import Note, RunFailed
from trickbag.models.weights_names import folder_of_run

if TYPE_CHECKING:
    from trickbag.cli.evaluations.kind import Outcome
    from trickbag.evaluate.trained import Trained

__all__ = ["keep_record"]


def keep_record(outcome: Outcome, trained: Trained, *, sources: int) -> list[Note]:
    """Write the record of an outcome, if it has one, into the folder of the run.

    `sources` is the number of sources that the command evaluates: the folder has a place for one.
    Returns notes that say why it could not be written.
    """
    record, reason = outcome.record, None
    if record is None:
        return []
    if trained.record is None:
        reason = "the weights do not lie in the folder of a run"
    elif sources > 1:
        reason = f"a run keeps the evaluation of one source, and {sources} were given"
    else:
        try:
            folder = folder_of_run(trained.path)
            record.write(folder)
            if outcome.write_beside is not None:
                outcome.write_beside(folder)
        except RunFailed as error:
            reason = error.reason
        except OSError as error:
            reason = error.strerror or str(error)
    if reason is None:
        return []
    return [Note("folder", None, f"the evaluation {record.kind} is not kept: {reason}")]
