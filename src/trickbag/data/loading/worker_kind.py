"""Which kind of workers loads images: threads of the process that trains, or processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.data.source import EncodedPart, Part

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig, WorkerKind

__all__ = ["MOST_THREADS", "worker_kind"]

MOST_THREADS = 2
"""The most workers that are threads.

A quarter to two fifths of the time of a crop is Python's, which one thread at a time has, and the
thread that trains needs it too.
"""

_MOST_CHANNELS = 4
"""The most channels that torch scales in the thread that asks, without threads of its own."""

_HOLDING = (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx")
"""The files (JPEG 2000) whose decoder stops all other threads of Python meanwhile."""


def worker_kind(part: Part, data: DataConfig, workers: int, *, train: bool) -> WorkerKind:
    """Return the kind of so many workers that load a part, if `data.worker_kind` is open.

    They are threads where these are faster, and as safe: for up to MOST_THREADS workers; for images
    that have all been decoded before, so that no file is left that could crash a decoder, or that
    are in memory; for classes, of up to four channels, in formats other than JPEG 2000, and without
    a policy, whose operations are Python's. It does not change the images.
    """
    if not isinstance(part, Part):
        return "processes"
    decoded_before = part.verified if isinstance(part, EncodedPart) else part.in_memory
    can_be_threads = (
        0 < workers <= MOST_THREADS
        and decoded_before
        and part.annotations == "classes"
        and part.pixels.count <= _MOST_CHANNELS
        and (data.policy is None or not train)
        and not any(name.lower().endswith(_HOLDING) for name in part.names)
    )
    return "threads" if can_be_threads else "processes"
