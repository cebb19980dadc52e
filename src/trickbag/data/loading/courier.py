"""What carries the requests of a loader to who loads, and the results back.

Imports no torch until there are devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import queue

    from trickbag.data.loading.worker import Loaded

__all__ = ["END_S", "Courier", "Item", "current_device", "set_device"]

END_S = 5.0
"""How long the end of a courier is waited for, in seconds."""


class Item(NamedTuple):
    """A request, its place in the order, and the queue for its result."""

    place: int
    request: object
    results: queue.SimpleQueue[tuple[int, Loaded | Exception]]


class Courier(Protocol):
    """Takes requests from a queue until it gets None, and puts their results.

    `signs` counts its signs of life; `failure` is set once it can carry no more.
    """

    signs: int
    failure: Exception | None

    def start(self) -> None:
        """Begin to take requests."""

    def end(self) -> None:
        """Take no more requests, and leave what is being loaded."""


def current_device() -> int:
    """Return the index of the device that this thread uses."""
    import torch

    return torch.accelerator.current_device_index()


def set_device(index: int) -> None:
    """Make this thread use a device."""
    import torch

    torch.accelerator.set_device_index(index)
