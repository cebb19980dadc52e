"""What a person has to know: notes on a run, and errors; values, of which prose is made to show."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast, get_args

__all__ = [
    "DoesNotApply",
    "Note",
    "NoteKind",
    "RunFailed",
    "Stopped",
    "TrickbagError",
    "UserError",
    "choices",
    "first_line",
    "memory_failure",
    "shown",
]

NoteKind = Literal[
    "no_effect",
    "schedule",
    "choice",
    "data",
    "weights",
    "teacher",
    "study",
    "chance",
    "damage",
    "folder",
    "calibration",
    "memory",
    "fold",
]
"""What a note is about.

no_effect: a trick or a setting that changes nothing in this run. schedule: a part of the
learning-rate schedule that the run does not reach. choice: a setting that the run chose, changed or
ignored. data: the images and labels. weights: the weights that the run started from. teacher: the
teachers of a distillation. study: how the arms of a study compare. chance: arms that answer no
better than an answer that ignores the image. damage: a file of this package's own that was damaged,
and what was done instead of reading it. folder: the folder of a run or study, and its disk.
calibration: how far confidences can be believed. memory: batches that are computed in smaller
parts, as the memory ran out.
"""


@dataclass(frozen=True)
class Note:
    """A fact about a run or a study that a person should know.

    `trick` names the trick that the note is about, if it is about one; `reason` is the fact, in
    words. The reason of a note of the kind `no_effect` says why the trick changes nothing; without
    a trick it is a whole sentence about a setting.
    """

    kind: NoteKind
    trick: str | None
    reason: str

    @property
    def text(self) -> str:
        """The note as a sentence."""
        if self.kind == "no_effect" and self.trick is not None:
            return f"{self.trick} has no effect: {self.reason}"
        return self.reason

    def to_dict(self) -> dict[str, Any]:
        """Return the note as plain data: kind, trick, reason."""
        return {"kind": self.kind, "trick": self.trick, "reason": self.reason}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Note:
        """Read what `to_dict` returned; ValueError for anything else."""
        kind, trick, reason = (data.get(key) for key in ("kind", "trick", "reason"))
        texts = isinstance(reason, str) and isinstance(trick, str | None)
        if kind not in get_args(NoteKind) or not texts or (kind == "no_effect" and trick == ""):
            raise ValueError(f"{dict(data)} is not a note")
        return cls(cast("NoteKind", kind), cast("str | None", trick), cast("str", reason))


class TrickbagError(Exception):
    """Base of every error that is reported in one line, without a traceback.

    `reason` says what is wrong, `way_out` what to do about it; the message is both. `exit_code` is
    what the command line returns: 2 for wrong input, 1 for a run that failed. `elsewhere` is set
    where another process of the same run reports the error.
    """

    exit_code = 1
    elsewhere = False
    separator: ClassVar[str] = "; "

    def __init__(self, reason: str, way_out: str = "") -> None:
        # One argument alone, so that a pickled error is made again from its whole message.
        super().__init__(f"{reason}{self.separator}{way_out}" if way_out else reason)
        self.reason = reason
        self.way_out = way_out


class UserError(TrickbagError):
    """Report wrong input: a name, a value, a path, a combination."""

    exit_code = 2


class DoesNotApply(UserError):
    """Report a trick that cannot work on this network or recipe.

    `train` ends with exit code 2; a study states it in the trick's row.
    """

    separator = ". "


class RunFailed(TrickbagError):
    """Report a run that cannot go on, such as a loss that is not finite or a disk that is full."""

    exit_code = 1


class Stopped(TrickbagError):
    """Report a run that SIGTERM or SIGINT stopped, with its checkpoint saved.

    `signal` is the signal's name, such as `SIGTERM`.
    """

    # EX_TEMPFAIL of sysexits.h: the same command can succeed later.
    exit_code = 75

    def __init__(self, reason: str, way_out: str = "", *, signal: str = "") -> None:
        super().__init__(reason, way_out)
        self.signal = signal


def choices(known: Iterable[object]) -> str:
    """Write the allowed names for an error message: `a, b, c`."""
    return ", ".join(sorted(str(name) for name in known))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the error's type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "ALLOC_FAILED",
    "bad_alloc",
    "Storage size calculation overflowed",
)
"""What torch writes where memory runs out on a processor, on CUDA or on MPS."""


def memory_failure(
    error: BaseException,
    task: str = "",
    way_out: str = "take a smaller batch, image size or network (training.batch_size, "
    "training.accumulate, training.gradient_checkpointing, data.image_size), or fewer "
    "--workers",
) -> RunFailed | None:
    """Return the failure to report where an error means that memory ran out, else None.

    `task` says when, such as `while a batch was loaded`.
    """
    # torch has a type for CUDA alone, which is a RuntimeError too; elsewhere there is but its text.
    texts = isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, TrickbagError) or not (
        texts or no_memory or isinstance(error, MemoryError)
    ):
        return None
    return RunFailed(f"the memory ran out{f' {task}' * bool(task)}: {first_line(error)}", way_out)


_LONGEST = 200
"""Characters of a value in a message."""


def shown(value: object) -> str:
    """Write a value for an error message; a long one is cut."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; a list within itself
        return f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
