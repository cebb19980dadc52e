"""Several processes that train one run together: who takes which images, and what they tell each other.

A run of one process has a `World` of its own in which every exchange is nothing. Several have a
`Processes`: what they tell each other (counts, requests to stop, errors) goes as small messages
between their CPUs, never by their devices, so that no step waits for a device; gradients and images
go from device to device.

Gradients are added up in one piece after the backward pass, in place of `DistributedDataParallel`,
which forms its pieces anew after a process's first step: a run that is taken up then adds in
another order than one that goes on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from trickbag.data.loading.loader import RawBatch, share_of
from trickbag.errors import RunFailed, Stopped, TrickbagError, UserError
from trickbag.train.machine.signals import signal_name, signal_number

__all__ = ["Lost", "Processes", "StepStatus", "World", "joined", "launched"]

T = TypeVar("T")

_LAST_WORD_S = 10.0
_ENDED = "trickbag/ended"
_KINDS: dict[int, type[TrickbagError]] = {
    kind.exit_code: kind for kind in (UserError, RunFailed, Stopped)
}


class StepStatus(NamedTuple):
    """What processes tell each other before a step.

    `valid` counts the images of the effective batch that could be read; `stop` names a signal that
    one of them has caught; `due` tells whether the first one wants to show numbers after the step.
    """

    valid: int = 0
    stop: str = ""
    due: bool = False


class Lost(RunFailed):
    """Report that another process of the run has ended without a word."""


class World:
    """The processes that train a run together: here this one alone."""

    rank = 0
    size = 1
    local_size = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes, logs and decides."""
        return self.rank == 0

    def rows(self, n: int) -> slice:
        """Return which of `n` images are this process's."""
        return share_of(n, self.rank, self.size)

    def compute_on(self, device: str) -> None:
        """Take this process's device of a kind. UserError where there are fewer than processes."""

    def all_reduce_status(self, status: StepStatus) -> StepStatus:
        """Tell the others, and return what all of them together have status."""
        return status

    def all_gather(self, data: Any) -> list[Any]:
        """Return the plain data of every process, in the order of their ranks."""
        return [data]

    def broadcast(self, make: Callable[[], Any]) -> Any:
        """Return what the first process makes, plain data; the others wait for it."""
        return make()

    def rank_zero_first(self, make: Callable[[], T]) -> T:
        """Make something in the first process, then in the others, which find what it left in
        caches."""
        return make()

    def all_reduce_gradients(self, network: nn.Module) -> None:
        """Replace each gradient by its sum over the processes."""

    def all_gather_rows(self, raw: RawBatch, n: int) -> RawBatch:
        """Return the effective batch of `n` images, on the device, of which each process has its
        rows."""
        return raw

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors the values that they have in the first process."""


class Processes(World):
    """The processes of the process group that is there; made, and closed, by all of them
    together."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        self._talk = self._data = _group("gloo")
        self._unheard = False

    def compute_on(self, device: str) -> None:
        if device != "cuda":
            return
        place, there = (
            int(os.environ.get("LOCAL_RANK", torch.cuda.current_device())),
            torch.cuda.device_count(),
        )
        if place >= there:
            raise UserError(
                f"process {place + 1} of this machine has no CUDA device: there are {there}; start "
                f"{there} processes, "
                "or train with --device cpu"
            )
        torch.cuda.set_device(place)
        self._data = _group("nccl")

    def all_reduce_status(self, status: StepStatus) -> StepStatus:
        heads, _ = self._exchange(status.valid, signal_number(status.stop), status.due)
        valid, signals, dues = zip(*heads, strict=True)
        return StepStatus(sum(valid), signal_name(max(signals)), bool(dues[0]))

    def all_gather(self, data: Any) -> list[Any]:
        return [json.loads(text) for text in self._exchange(text=json.dumps(data))[1]]

    def broadcast(self, make: Callable[[], Any]) -> Any:
        return self.all_gather(make() if self.is_main else None)[0]

    def rank_zero_first(self, make: Callable[[], T]) -> T:
        if self.is_main:
            made = make()
            self.all_reduce_status(StepStatus())
            return made
        self.all_reduce_status(StepStatus())
        return make()

    def all_reduce_gradients(self, network: nn.Module) -> None:
        gradients = [
            parameter.grad for parameter in network.parameters() if parameter.grad is not None
        ]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with _lost():
            distributed.all_reduce(flat, group=self._data)
        for gradient, total in zip(
            gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(total.view(gradient.shape))

    def all_gather_rows(self, raw: RawBatch, n: int) -> RawBatch:
        return RawBatch(*(self._all_gather_rows(rows, n) for rows in raw))

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        with _lost(), torch.no_grad():
            for tensor in tensors:
                # Whatever its memory layout is: a broadcast takes dense tensors in the usual one.
                value = tensor.detach().contiguous()
                distributed.broadcast(value, group_src=0, group=self._data)
                tensor.copy_(value)

    def fail(self, error: BaseException) -> None:
        """Tell the others why this process leaves, if they can still be status; an error of theirs
        they know."""
        if isinstance(error, Lost) or getattr(error, "elsewhere", False):
            return
        known = isinstance(error, TrickbagError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        code = error.exit_code if isinstance(error, TrickbagError) else 1
        with suppress(Lost, TrickbagError):
            self._exchange(text=json.dumps([code, text]), failed=True)

    def close(self) -> None:
        """Leave the process group as it was."""
        for group in {self._talk, self._data}:
            distributed.destroy_process_group(group)
        # Their threads end with the last reference, and must before Python does: one that frees a
        # tensor after that aborts the process. A group that still waits for a process would wait
        # here.
        if not self._unheard:
            del self._talk, self._data, group

    def _exchange(
        self,
        valid: int = 0,
        signal: int = 0,
        due: bool = False,
        text: str = "",
        failed: bool = False,
    ) -> tuple[list[tuple[int, int, int]], list[bytes]]:
        """Exchange a head of numbers and a text with every process; every message between processes is one of these.

        So a process that fails can say so whatever the others wait for. Raises its error in the
        others.
        """
        data = text.encode()
        mine = torch.tensor([failed, valid, signal, due, len(data)], dtype=torch.int64)
        heads = [row.tolist() for row in self._gather(mine, patient=not failed)]
        longest = max(head[-1] for head in heads)
        texts = [b""] * self.size
        if longest:
            padded = torch.frombuffer(bytearray(data.ljust(longest, b"\0")), dtype=torch.uint8)
            gathered = self._gather(padded, patient=not failed)
            texts = [
                bytes(row[: head[-1]].numpy()) for row, head in zip(gathered, heads, strict=True)
            ]
        for head, said in zip(heads, texts, strict=True):
            if head[0] and not failed:
                code, why = json.loads(said)
                error = _KINDS.get(code, RunFailed)(why)
                error.elsewhere = True
                raise error
        return [(head[1], head[2], head[3]) for head in heads], texts

    def _gather(self, mine: Tensor, *, patient: bool) -> list[Tensor]:
        found = [torch.empty_like(mine) for _ in range(self.size)]
        with _lost():
            work = distributed.all_gather(found, mine, group=self._talk, async_op=True)
            assert work is not None  # it is where the operation is asynchronous
            if patient:
                work.wait()
            else:
                self._unheard = True
                work.wait(timedelta(seconds=_LAST_WORD_S))
                self._unheard = False
        return found

    def _all_gather_rows(self, mine: Tensor, n: int) -> Tensor:
        shares = [share_of(n, rank, self.size) for rank in range(self.size)]
        counts = [share.stop - share.start for share in shares]
        data = mine.view(torch.uint8) if mine.dtype == torch.bool else mine
        if not data[:1].numel():  # a field of the batch that nobody uses
            return mine.new_empty(n, *mine.shape[1:])
        padded = data.new_zeros(max(counts), *data.shape[1:])
        padded[: len(data)] = data
        found = [torch.empty_like(padded) for _ in range(self.size)]
        with _lost():
            distributed.all_gather(found, padded, group=self._data)
        rows = torch.cat([rows[:count] for rows, count in zip(found, counts, strict=True)])
        return rows.view(torch.bool) if mine.dtype == torch.bool else rows


def _group(backend: str) -> distributed.ProcessGroup:
    group = distributed.new_group(backend=backend)
    assert isinstance(group, distributed.ProcessGroup)  # every process is in it
    return group


@contextmanager
def joined() -> Iterator[World]:
    """Give the processes that train together: those of the process group that is there, else this one alone.

    Raises UserError under `torchrun` where no process group was made, since each process would
    train by itself.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "TORCHELASTIC_RUN_ID" in os.environ:
            raise UserError(
                f"this is one of {os.environ['WORLD_SIZE']} processes that torchrun started, and "
                f"there is no process "
                "group: call torch.distributed.init_process_group() first"
            )
        yield World()
        return
    if distributed.get_world_size() == 1:
        yield World()
        return
    world = Processes()
    try:
        yield world
    except BaseException as error:
        world.fail(error)
        raise
    finally:
        world.close()


@contextmanager
def launched() -> Iterator[bool]:
    """Make the process group that `torchrun` asks for by the environment; give whether this process is the first.

    Of the errors with which the processes end, one is for a person to read: the others have
    `elsewhere` set.
    """
    if (
        int(os.environ.get("WORLD_SIZE", "1")) < 2
        or "RANK" not in os.environ
        or distributed.is_initialized()
    ):
        yield not distributed.is_initialized() or distributed.get_rank() == 0
        return
    try:
        store, rank, size = next(rendezvous("env://"))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        group = PrefixStore("trickbag", store)
        distributed.init_process_group(backend, store=group, rank=rank, world_size=size)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot join the other processes of the run: {' '.join(str(error).split())}"
        ) from error
    try:
        yield rank == 0
    except TrickbagError as error:
        with suppress(RuntimeError):  # where the process has gone that kept it, everybody speaks
            error.elsewhere = store.add(_ENDED, 1) > 1
            if (
                rank == 0
                and not isinstance(error, Lost)
                and "TORCHELASTIC_USE_AGENT_STORE" not in os.environ
            ):
                _wait_for(lambda: store.add(_ENDED, 0) >= size)  # the store ends with this process
        raise
    finally:
        distributed.destroy_process_group()


def _wait_for(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LAST_WORD_S
    while not met() and time.monotonic() < deadline:
        time.sleep(0.02)


@contextmanager
def _lost() -> Iterator[None]:
    """Report as Lost what the process group raises, which it does where a process has gone."""
    try:
        yield
    except RuntimeError as error:
        raise Lost(
            "another process of the run has ended, killed perhaps; start all of them again, with "
            "--resume and the "
            "run's --out"
        ) from error
