"""Who calls a run or a study: messages name options of the command line, or Python arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMAND_LINE", "PYTHON", "Caller"]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The words by which a message tells a person how to go on.

    `call` is what the person repeats, `out` and `resume` are the option or argument for the folder
    and for going on; `function` is the call in Python, empty on the command line.
    """

    call: str
    out: str
    resume: str
    function: str = ""

    def resume_in(self, folder: Path) -> str:
        """Write how to resume what lies in a folder."""
        if not self.function:
            return f"{self.resume} {self.out} {folder}"
        return f"{self.function}(..., {self.out}={str(folder)!r}, {self.resume})"


COMMAND_LINE = Caller(call="command", out="--out", resume="--resume")
PYTHON = Caller(call="call", out="out", resume="resume=True", function="tb.fit")
