"""Messages and tensors between a process and its worker, over a pair of connected sockets.

Nothing lies in shared memory: a container has little of it (64 MB), and a batch that does not fit
there fails in a thread that nobody waits for. Imports no torch until there are tensors.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import socket
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch
    from torch import Tensor

__all__ = ["Channel"]

_LENGTH = struct.Struct("<Q")


class Channel:
    """One end of a connection; the other end has sent all that can be received here.

    All methods wait for the other end, and raise OSError or EOFError if it is gone.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        # A program can have set another default.
        connection.settimeout(None)

    def send(self, message: object) -> None:
        """Send a value that can be pickled."""
        self.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes; where they are a pickled value, `receive` returns the value."""
        self._socket.sendall(_LENGTH.pack(len(data)))
        self._socket.sendall(data)

    def receive(self) -> Any:
        """Return the next value."""
        return pickle.loads(self.receive_bytes())

    def receive_bytes(self) -> bytearray:
        """Return the next value as it was pickled."""
        length = bytearray(_LENGTH.size)
        self._fill(length)
        data = bytearray(_LENGTH.unpack(length)[0])
        self._fill(data)
        return data

    def send_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Send the elements of tensors on the CPU; the other end has to know what they are."""
        for tensor in tensors:
            if tensor.numel():
                self._socket.sendall(_view(tensor.contiguous()))

    def receive_tensors(
        self, forms: Sequence[tuple[torch.dtype, tuple[int, ...]]], *, pin_memory: bool = False
    ) -> tuple[Tensor, ...]:
        """Return tensors of these types and shapes; their storage is on the CPU, pinned if asked.

        Raises MemoryError or RuntimeError where there is no memory for them.
        """
        import torch

        tensors = []
        for dtype, shape in forms:
            tensor = torch.empty(shape, dtype=dtype, pin_memory=pin_memory)
            if math.prod(shape):
                self._fill(_view(tensor))
            tensors.append(tensor)
        return tuple(tensors)

    def _fill(self, buffer: bytearray | memoryview) -> None:
        rest = memoryview(buffer)
        while rest:
            # All at once, as far as the system can: each call takes the interpreter's lock.
            count = self._socket.recv_into(rest, 0, socket.MSG_WAITALL)
            if not count:
                raise EOFError("the other end of a connection is closed")
            rest = rest[count:]

    def shut(self) -> None:
        """End the connection, also for a thread that waits for it."""
        # The other end can be gone.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the connection, which no thread may be using."""
        self._socket.close()


def _view(tensor: Tensor) -> memoryview:
    return tensor.numpy().data.cast("B")
