"""Processes that train one run together: which rows each has, and their collective operations.

A run of one process has a `World`, whose collectives do nothing. Several processes have a
`ProcessWorld`. Counts, requests to stop and errors go as small messages between CPUs, so that no
step waits for a device; gradients and images go from device to device.

Gradients are summed in one piece after the backward pass. `DistributedDataParallel` would sum them
in buckets that it forms anew after the first step of a process: a resumed run would then add them
in another order than a run that was never stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, distributed, nn

from trickbag.data.loading.loader import share_of
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.errors import DoesNotApply, RunFailed, Stopped, TrickbagError, UserError
from trickbag.train.machine.signals import signal_name, signal_number

__all__ = ["ProcessLost", "ProcessWorld", "StepStatus", "World", "process_world"]

T = TypeVar("T")

_FAILURE_TIMEOUT_S = 10.0
"""How long a process that fails waits for the others to take its error."""

_ERRORS: dict[str, type[TrickbagError]] = {
    error.__name__: error for error in (UserError, DoesNotApply, RunFailed, Stopped)
}


class StepStatus(NamedTuple):
    """The state of the processes before a step.

    `valid` counts what counts in the loss of the effective batch: the images that could be read, or
    of masks the pixels that have a class; `stop` is the name of a
    signal that a process has caught; `due` tells whether the first process shows numbers after the
    step; `parts` is into how many parts a process divides its rows.
    """

    valid: int = 0
    stop: str = ""
    due: bool = False
    parts: int = 0


class ProcessLost(RunFailed):
    """Report that another process of the run has ended without an error of its own."""


class World:
    """The processes that train a run together; in this class a single one."""

    rank = 0
    size = 1
    local_size = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process of rank 0, which writes, logs and decides."""
        return self.rank == 0

    def rows(self, n: int) -> slice:
        """Return the rows of `n` that are this process's."""
        return share_of(n, self.rank, self.size)

    def compute_on(self, device: str) -> None:
        """Choose this process's device of a type.

        Raises UserError if the machine has fewer devices than processes.
        """

    def all_reduce_status(self, status: StepStatus) -> StepStatus:
        """Return the status of all processes: the images of all, any signal, the most parts.

        `due` is that of rank 0.
        """
        return status

    def all_gather(self, data: Any) -> list[Any]:
        """Return the plain data of every process, in the order of ranks."""
        return [data]

    def broadcast(self, make: Callable[[], Any]) -> Any:
        """Return what `make` returns in the process of rank 0, as plain data; the others wait."""
        return make()

    def rank_zero_first(self, make: Callable[[], T]) -> T:
        """Call `make` in the process of rank 0, then in the others, which can use its cache."""
        return make()

    def all_reduce_gradients(self, network: nn.Module) -> None:
        """Replace each gradient by its sum over the processes."""

    def all_gather_tensor(self, tensor: Tensor) -> Tensor:
        """Return the tensors (P, *) of all processes, of one shape, in the order of ranks."""
        return tensor.unsqueeze(0)

    def all_gather_rows(self, raw: RawBatch, n: int) -> RawBatch:
        """Return the effective batch of `n` images, on the device, from all processes' rows."""
        return raw

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors the values that they have in the process of rank 0."""


class ProcessWorld(World):
    """The processes of torch's default process group.

    All of them create and close it together: it has process groups of its own.
    """

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        self._message_group = self._tensor_group = _new_group("gloo")
        self._failure_pending = False

    def compute_on(self, device: str) -> None:
        if device == "mps":
            raise UserError(
                f"{self.size} processes cannot train a run together on MPS",
                "start one, or train with --device cpu",
            )
        if device != "cuda":
            return
        index = int(os.environ.get("LOCAL_RANK", torch.cuda.current_device()))
        count = torch.cuda.device_count()
        if index >= count:
            raise UserError(
                f"process {index + 1} of this machine has no CUDA device: there are {count}",
                f"start {count} processes, or train with --device cpu",
            )
        torch.cuda.set_device(index)
        self._tensor_group = _new_group("nccl")

    def all_reduce_status(self, status: StepStatus) -> StepStatus:
        number = signal_number(status.stop)
        heads, _ = self._all_gather_messages(status.valid, number, status.due, status.parts)
        valid, signals, dues, parts = zip(*heads, strict=True)
        return StepStatus(sum(valid), signal_name(max(signals)), bool(dues[0]), max(parts))

    def all_gather(self, data: Any) -> list[Any]:
        _, texts = self._all_gather_messages(text=json.dumps(data))
        return [json.loads(text) for text in texts]

    def broadcast(self, make: Callable[[], Any]) -> Any:
        return self.all_gather(make() if self.is_main else None)[0]

    def rank_zero_first(self, make: Callable[[], T]) -> T:
        # The status is a barrier that also brings an error of rank 0 to those that wait.
        if self.is_main:
            value = make()
            self.all_reduce_status(StepStatus())
            return value
        self.all_reduce_status(StepStatus())
        return make()

    def all_reduce_gradients(self, network: nn.Module) -> None:
        gradients = [
            parameter.grad for parameter in network.parameters() if parameter.grad is not None
        ]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with _report_lost():
            distributed.all_reduce(flat, group=self._tensor_group)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, total in zip(gradients, torch.split(flat, sizes), strict=True):
            gradient.copy_(total.view(gradient.shape))

    def all_gather_tensor(self, tensor: Tensor) -> Tensor:
        gathered = [torch.empty_like(tensor) for _ in range(self.size)]
        with _report_lost():
            distributed.all_gather(gathered, tensor.contiguous(), group=self._tensor_group)
        return torch.stack(gathered)

    def all_gather_rows(self, raw: RawBatch, n: int) -> RawBatch:
        return RawBatch(*(self._all_gather_tensor_rows(rows, n) for rows in raw))

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        with _report_lost(), torch.no_grad():
            for tensor in tensors:
                # A broadcast takes tensors that are contiguous; those in channels last are not.
                value = tensor.detach().contiguous()
                distributed.broadcast(value, group_src=0, group=self._tensor_group)
                tensor.copy_(value)

    def report_failure(self, error: BaseException) -> None:
        """Send the error that ends this process to the others, if they are still there.

        An error that came from another process is not sent: all of them have it.
        """
        if isinstance(error, ProcessLost) or getattr(error, "elsewhere", False):
            return
        if isinstance(error, TrickbagError):
            names = (cls.__name__ for cls in type(error).__mro__)
            message = {
                "error": next((name for name in names if name in _ERRORS), "RunFailed"),
                "reason": error.reason,
                "way_out": error.way_out,
                "signal": getattr(error, "signal", ""),
            }
        else:
            message = {"error": "RunFailed", "reason": f"{type(error).__name__}: {error}"}
        with suppress(ProcessLost, TrickbagError):
            self._all_gather_messages(text=json.dumps(message), failed=True)

    def close(self) -> None:
        """Close the process groups of this world."""
        for group in {self._message_group, self._tensor_group}:
            distributed.destroy_process_group(group)
        # The threads of a group end with the last reference to it. They must end before Python
        # does: a thread that frees a tensor later aborts the process. But a group that still waits
        # for another process would wait here, too.
        if not self._failure_pending:
            del self._message_group, self._tensor_group, group

    def _all_gather_messages(
        self,
        valid: int = 0,
        signal: int = 0,
        due: bool = False,
        parts: int = 0,
        text: str = "",
        failed: bool = False,
    ) -> tuple[list[tuple[int, int, int, int]], list[bytes]]:
        """Return the numbers and the text of every process.

        All messages between processes have this one form, so that a process that fails can send
        its error whatever the others wait for. Raises that error in the others.
        """
        data = text.encode()
        numbers = torch.tensor([failed, valid, signal, due, parts, len(data)], dtype=torch.int64)
        heads = [row.tolist() for row in self._all_gather_tensor(numbers, failed=failed)]
        longest = max(head[-1] for head in heads)
        texts = [b""] * self.size
        if longest:
            # Tensors that are gathered must have the same size.
            padded = torch.frombuffer(bytearray(data.ljust(longest, b"\0")), dtype=torch.uint8)
            sent = self._all_gather_tensor(padded, failed=failed)
            texts = [bytes(row[: head[-1]].numpy()) for row, head in zip(sent, heads, strict=True)]
        for head, message in zip(heads, texts, strict=True):
            if head[0] and not failed:
                raise _error_of(json.loads(message))
        return [(head[1], head[2], head[3], head[4]) for head in heads], texts

    def _all_gather_tensor(self, tensor: Tensor, *, failed: bool) -> list[Tensor]:
        tensors = [torch.empty_like(tensor) for _ in range(self.size)]
        with _report_lost():
            # Asynchronous: only then can a single operation have a timeout other than its group's.
            work = distributed.all_gather(tensors, tensor, group=self._message_group, async_op=True)
            assert work is not None  # for an asynchronous operation it never is
            if failed:
                # The others may have ended already, and would be waited for in vain.
                self._failure_pending = True
                work.wait(timedelta(seconds=_FAILURE_TIMEOUT_S))
                self._failure_pending = False
            else:
                work.wait()
        return tensors

    def _all_gather_tensor_rows(self, tensor: Tensor, n: int) -> Tensor:
        shares = [share_of(n, rank, self.size) for rank in range(self.size)]
        counts = [share.stop - share.start for share in shares]
        data = tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor
        if not data[:1].numel():  # a field of the batch that this run does not use
            return tensor.new_empty(n, *tensor.shape[1:])
        padded = data.new_zeros(max(counts), *data.shape[1:])
        padded[: len(data)] = data
        gathered = [torch.empty_like(padded) for _ in range(self.size)]
        with _report_lost():
            distributed.all_gather(gathered, padded, group=self._tensor_group)
        rows = torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])
        return rows.view(torch.bool) if tensor.dtype == torch.bool else rows


def _error_of(message: dict[str, str]) -> TrickbagError:
    """Return the error that another process has sent."""
    kind = _ERRORS[message["error"]]
    reason, way_out = message["reason"], message.get("way_out", "")
    error = (
        Stopped(reason, way_out, signal=message["signal"])
        if kind is Stopped
        else kind(reason, way_out)
    )
    error.elsewhere = True
    return error


def _new_group(backend: str) -> distributed.ProcessGroup:
    group = distributed.new_group(backend=backend)
    assert isinstance(group, distributed.ProcessGroup)  # every process is a member
    return group


@contextmanager
def process_world() -> Iterator[World]:
    """Give the processes that train together: those of torch's process group, else this one alone.

    Raises UserError under `torchrun` without a process group: each process would train a run by
    itself.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "TORCHELASTIC_RUN_ID" in os.environ:
            raise UserError(
                f"this is one of {os.environ['WORLD_SIZE']} processes that torchrun started, and "
                "there is no process group",
                "call torch.distributed.init_process_group() first",
            )
        yield World()
        return
    if distributed.get_world_size() == 1:
        yield World()
        return
    world = ProcessWorld()
    try:
        yield world
    except BaseException as error:
        world.report_failure(error)
        raise
    finally:
        world.close()


@contextmanager
def _report_lost() -> Iterator[None]:
    """Raise ProcessLost for the error of torch after another process has gone."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(
            "another process of the run has ended, killed perhaps",
            "start all of them again, and resume the run",
        ) from error
