"""Trials as tasks of Ray: on this machine, or on a cluster."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trickbag.data.cores import threads_set, usable_cores
from trickbag.errors import UserError
from trickbag.study.executors import Machine
from trickbag.study.executors.devices import cuda_devices
from trickbag.study.executors.ray_cluster import cluster_nodes, full_address, one_line
from trickbag.study.executors.ray_tasks import RayTasks
from trickbag.study.executors.ray_train import Resources, require_ray_train
from trickbag.study.executors.trial_end import error_text
from trickbag.study.executors.worker import changed_environment
from trickbag.study.limits import require_within
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result

__all__ = ["Ray"]

_STORE_BYTES = 128 * 2**20  # results are small; by default Ray sets aside a third of the memory


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Runs trials as tasks of Ray, each with `cpus` cores and `gpus` devices.

    A fraction of a device is shared by several trials. A trial computes with as many threads as
    cores, or with fewer where OMP_NUM_THREADS says so.

    With `devices` above 1 as many processes train a trial together, by Ray Train, each with `cpus`
    cores and `gpus` devices: its result is that of `torchrun` with as many. `address` is that of a
    running cluster: `auto` for the one that this machine belongs to, HOST or HOST:PORT of its head,
    or `ray://HOST:PORT` of a Ray client server; None starts one on this machine, for this run. A
    connection that the program has made with `ray.init` is used as it is. At most `workers` run at
    a time, by default as many as there is room for. `gpus` is by default 1 where there are any,
    else 0. A trial whose process or machine dies is run again up to `retries` times, and is a
    result with an error after that. When the run is stopped, trials have `grace_s` seconds to save.

    Every machine needs the same version of trickbag, and the study's folder and data at the same
    paths. Raises UserError where ray is not installed, the address cannot be reached, or this
    machine has less than a trial asks for.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float = 1
    gpus: float | None = None
    devices: int = 1
    retries: int = 2
    grace_s: float = 60.0

    def __post_init__(self) -> None:
        names = ("workers", "devices", "cpus", "gpus", "retries", "grace_s")
        require_within(**{name: getattr(self, name) for name in names})
        if self.devices > 1 and self.gpus not in (None, 0, 1):
            raise UserError(
                f"gpus = {self.gpus:g}: each of {self.devices} processes that train together has a "
                "device of its own or none",
                "give 1 or 0",
            )

    @property
    def machine(self) -> Machine:
        """The trials that run at a time on the machines of now, and the threads of each."""
        alone = self.address is None and not _is_connected()
        device: Literal["cuda", "cpu"] = "cuda" if self._gpus_each else "cpu"
        workers = min(self._room or 1, self.workers or self._room or 1)
        # The cores that Ray sets aside bound the number of this process's environment, which may
        # be that of a machine with more.
        cores = max(1, int(self.cpus))
        threads = min(threads_set() or cores, cores)
        return Machine(workers, threads, device, shares_memory=alone, processes=self.devices)

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        """Run the trials; yield one result for each."""
        if not trials:
            return
        ray = _import_ray()
        if self.devices > 1:
            require_ray_train()
        if not self._room:
            self._report_no_room()
        resources = Resources(processes=self.devices, cpus=self.cpus, gpus=self._gpus_each)
        # Signals second: `ray.init` takes the handler of SIGTERM for itself.
        with self._connected(ray), StopSignal() as stop:
            tasks = RayTasks(
                ray,
                task,
                resources,
                workers=self.workers,
                room=self._room,
                retries=self.retries,
                grace_s=self.grace_s,
            )
            try:
                yield from tasks.results(trials, stop)
            finally:
                tasks.end()

    def _report_no_room(self) -> None:
        """Raise UserError if this machine can never run a trial; warn if a cluster cannot yet."""
        needs = f"{self.cpus:g} cores" + (
            f" and {self._gpus_each:g} GPUs" if self._gpus_each else ""
        )
        needs = f"{self.devices} times {needs}" if self.devices > 1 else needs
        if self.address is None and not _is_connected():
            raise UserError(
                f"this machine has fewer than the {needs} that a trial asks for",
                "set cpus and gpus lower",
            )
        where = (
            "no machine of the Ray cluster has" if self.devices == 1 else "the Ray cluster has not"
        )
        warnings.warn(f"{where} {needs} now: trials wait for one", stacklevel=3)

    @functools.cached_property
    def _nodes(self) -> list[dict[str, float]]:
        """What each machine has, by Ray's names of resources."""
        ray = _import_ray()
        if ray.is_initialized():
            return [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if self.address is None:
            return [{"CPU": usable_cores(), "GPU": len(cuda_devices())}]
        return cluster_nodes(self.address)

    @property
    def _gpus_each(self) -> float:
        if self.gpus is not None:
            return self.gpus
        return 1.0 if any(node.get("GPU") for node in self._nodes) else 0.0

    @property
    def _room(self) -> int:
        """The number of trials that fit on the machines at a time."""
        processes = 0
        for node in self._nodes:
            fits = [node.get("CPU", 0.0) / self.cpus]
            if self._gpus_each:
                fits.append(node.get("GPU", 0.0) / self._gpus_each)
            processes += int(min(fits) + 1e-6)  # ten tenths are one
        return processes // self.devices

    @contextmanager
    def _connected(self, ray: Any) -> Iterator[None]:
        """Connect to Ray, or use the connection that exists, which then stays."""
        if ray.is_initialized():
            yield
            return
        handler = signal.getsignal(signal.SIGTERM)
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        try:
            if self.address is None:
                # Nobody asked for reports on the use of this machine to be sent anywhere.
                reports = os.environ.get("RAY_USAGE_STATS_ENABLED", "0")
                with changed_environment({"RAY_USAGE_STATS_ENABLED": reports}):
                    ray.init(
                        address="local",
                        num_cpus=usable_cores(),
                        num_gpus=len(cuda_devices()),
                        include_dashboard=False,
                        object_store_memory=_STORE_BYTES,
                        **quiet,
                    )
            else:
                ray.init(address=full_address(self.address), **quiet)
        except Exception as error:
            where = "on this machine" if self.address is None else f"at {self.address!r}"
            raise UserError(
                f"cannot connect to Ray {where}: {one_line(error_text(error))}"
            ) from error
        try:
            yield
        finally:
            ray.shutdown()
            if handler is not None and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UserError("the ray executor needs ray: pip install trickbag[ray]") from error


def _is_connected() -> bool:
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())
