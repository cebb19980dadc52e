"""Images that are decoded once for all trials of a study, or of a search, on one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trickbag.data.dataset import Dataset

__all__ = ["shared_images"]


class DecodingLog(Protocol):
    """What shows the progress of decoding."""

    def note(self, text: str) -> None:
        """Show a text once."""

    def checking(self, done: int, total: int) -> None:
        """Show how many images have been decoded."""


def shared_images(
    dataset: Dataset,
    folder: Path,
    file: Path,
    log: DecodingLog,
    require_running: Callable[[], None],
) -> Dataset | None:
    """Decode the images of a data set into `file`, where that is possible and worth it.

    Return the data set that holds them, None where each process is to prepare its own. `folder` is
    on the disk whose room limits the file; `require_running` raises what stops the work.
    """
    from trickbag.data.decoding.in_memory import decode_once, memory_limit

    def decoding(done: int, total: int) -> None:
        require_running()
        log.checking(done, total)

    return decode_once(dataset, file, memory_limit(folder), decoding, on_damage=log.note)
