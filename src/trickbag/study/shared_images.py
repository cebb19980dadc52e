"""Images that are decoded once for all trials of a study, or of a search, on one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from trickbag.data.config import DataConfig
    from trickbag.data.dataset import Dataset

__all__ = ["can_share_images", "shared_images"]


class DecodingLog(Protocol):
    """What shows the progress of decoding."""

    def note(self, text: str) -> None:
        """Show a text once."""

    def checking(self, done: int, total: int) -> None:
        """Show how many images have been decoded."""


def can_share_images(dataset: Dataset, configs: Iterable[DataConfig]) -> bool:
    """Tell whether all trials with these settings of the data can read images decoded before.

    With `dct_scaling` a trial has crops that are decoded at another size.
    """
    from trickbag.data.decoding.in_memory import can_be_decoded_once

    return can_be_decoded_once(dataset) and not any(data.dct_scaling for data in configs)


def shared_images(
    dataset: Dataset,
    configs: Iterable[DataConfig],
    folder: Path,
    file: Path,
    log: DecodingLog,
    require_running: Callable[[], None],
) -> Dataset | None:
    """Decode the images of a data set into `file`, where that is possible and worth it.

    Return the data set that holds them, None where each process is to prepare its own. `configs`
    are the settings of the data of the trials. `folder` is on the disk whose room limits the file;
    `require_running` raises what stops the work.
    """
    from trickbag.data.decoding.in_memory import decode_once, memory_limit

    def decoding(done: int, total: int) -> None:
        require_running()
        log.checking(done, total)

    if not can_share_images(dataset, configs):
        return None
    return decode_once(dataset, file, memory_limit(folder), decoding, on_damage=log.note)
