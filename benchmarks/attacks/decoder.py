"""A process that decodes images, with limits of time and memory, and is replaced when it dies."""

from __future__ import annotations

import hashlib
import multiprocessing
import resource
import time
from multiprocessing.connection import Connection
from typing import Self

import numpy as np

from trickbag.data.decoding.decode import DecodeError, image_format, read_stored
from trickbag.data.decoding.frames import count_frames

__all__ = ["Decoder", "digest"]

LONGEST_S = 2.0
MOST_BYTES = 2**30
_END_S = 60.0


def digest(values: np.ndarray) -> str:
    """Hash the shape, the type and the values of an image."""
    head = f"{values.shape} {values.dtype} ".encode()
    return hashlib.blake2b(head + values.tobytes(), digest_size=16).hexdigest()


class Decoder:
    """Decodes images in another process; `longest_s` and `most_bytes` are those of all of them."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.most_bytes = 0
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def verdict(self, data: bytes, expected: str) -> str:
        """Decode an image; say whether it was refused, has the expected pixels, or did harm."""
        try:
            self._pipe.send_bytes(data or b"\0")
            if not self._pipe.poll(_END_S):
                return self._again("hang")
            text, seconds, peak = self._pipe.recv()
        except (EOFError, OSError):
            return self._again("crash")
        self.longest_s = max(self.longest_s, seconds)
        self.most_bytes = max(self.most_bytes, peak)
        if peak > MOST_BYTES:
            # The peak is that of the process: the next image is not to blame.
            return self._again("memory")
        if seconds > LONGEST_S:
            return "slow"
        if text in ("refused", "traceback"):
            return str(text)
        return "same" if text == expected else "other pixels"

    def _again(self, verdict: str) -> str:
        self._stop()
        self._start()
        return verdict

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far,), daemon=True)
        self._process.start()
        far.close()

    def _stop(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection) -> None:
    """Decode what comes through a pipe; answer with a digest or a word, seconds and peak bytes."""
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:
            return
        start = time.perf_counter()
        text = _decoded(data)
        seconds = time.perf_counter() - start
        pipe.send((text, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def _decoded(data: bytes) -> str:
    try:
        values = read_stored(data).values
        count_frames(data, image_format(data))
    except DecodeError:
        return "refused"
    except Exception:  # what the product does not expect ends a command with a traceback
        return "traceback"
    return digest(values)
