"""The record of an evaluation in the folder of its run, where the report shows it."""

from __future__ import annotations

from dataclasses import replace
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
    The settings of the record also name the test-time augmentation. Returns notes that say why it
    could not be written.
    """
    record, reason = outcome.record, None
    if record is None:
        return []
    if len(trained.members) > 1:
        reason = "an average of runs has no folder"
    elif trained.record is None:
        reason = "the weights do not lie in the folder of a run"
    elif sources > 1:
        reason = f"a run keeps the evaluation of one source, and {sources} were given"
    else:
        try:
            folder = folder_of_run(trained.path)
            settings = {**record.settings, "tta": trained.tta or record.settings.get("tta")}
            replace(record, settings=settings).write(folder)
            if outcome.write_beside is not None:
                outcome.write_beside(folder)
        except RunFailed as error:
            reason = error.reason
        except OSError as error:
            reason = error.strerror or str(error)
    if reason is None:
        return []
    return [Note("folder", None, f"the evaluation {record.kind} is not kept: {reason}")]
