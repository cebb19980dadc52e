"""A trial that several processes train together, each with a device: by Ray Train."""

from __future__ import annotations

import importlib
import os
import signal
import tempfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.errors import Stopped, UserError
from trickbag.study.executors.ray_coordinator import POLL_S, TrialEnd
from trickbag.study.executors.trial_end import error_text
from trickbag.train.machine.signals import request_stop

if TYPE_CHECKING:
    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial

__all__ = ["Resources", "require_ray_train", "run_task", "train_together"]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a trial gets: processes, each with `cpus` cores and `gpus` devices (0 or 1)."""

    processes: int
    cpus: float
    gpus: float


def require_ray_train() -> None:
    """Raise UserError where Ray Train lacks a package that it needs."""
    try:
        importlib.import_module("ray.train")
    except ImportError as error:
        raise UserError(
            "trials of several devices need Ray Train: pip install trickbag[ray] "
            f"({' '.join(str(error).split())})"
        ) from error


def run_task(task: Task, trial: Trial) -> TrialEnd:
    """Run a trial in this process; return how it ended."""
    try:
        return "result", task(trial)
    except Stopped as error:
        return "stopped", error.signal
    except KeyboardInterrupt:  # cancelled by somebody else
        return "died", "cancelled"
    except BaseException as error:
        return "failed", error_text(error)


def train_together(
    task: Task, trial: Trial, coordinator: Any, attempt: str, resources: Resources
) -> TrialEnd:
    """Run a trial in processes that Ray Train starts; return how it ended.

    This is a task of Ray that only waits for them. A process that dies ends the others; the trial
    is then run again as any other, and goes on from its checkpoint.
    """
    ray = importlib.import_module("ray")
    if not ray.get(coordinator.begin.remote(attempt)):
        return "not_started", None
    # A study's folder and its data may have relative paths.
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    train, torch = importlib.import_module("ray.train"), importlib.import_module("ray.train.torch")
    per_process = {"CPU": resources.cpus} | ({"GPU": resources.gpus} if resources.gpus else {})
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # Ray Train wants a folder for checkpoints of its own; ours lie in the trial's folder.
    with tempfile.TemporaryDirectory(prefix="ray-train-") as folder:
        trainer = torch.TorchTrainer(
            _train,
            train_loop_config={
                "task": task,
                "trial": trial,
                "coordinator": coordinator,
                "attempt": attempt,
            },
            torch_config=torch.TorchConfig(
                backend="cpu:gloo,cuda:nccl" if resources.gpus else "gloo"
            ),
            scaling_config=train.ScalingConfig(
                num_workers=resources.processes,
                use_gpu=bool(resources.gpus),
                resources_per_worker=per_process,
            ),
            run_config=train.RunConfig(
                storage_path=folder, failure_config=train.FailureConfig(max_failures=0)
            ),
        )
        try:
            trainer.fit()
        except train.TrainingFailedError as error:
            return "died", type(error).__name__
        finally:
            # Ray Train sets handlers, and leaves them.
            for number, handler in handlers.items():
                signal.signal(number, handler)
    end: TrialEnd = ray.get(coordinator.take_end.remote(attempt))
    return end


def _train(config: dict[str, Any]) -> None:
    """Train, in one of the processes; the first one tells the coordinator how the trial ended."""
    from trickbag.train.machine.parallel import ProcessLost

    ray, train = importlib.import_module("ray"), importlib.import_module("ray.train")
    coordinator, attempt = config["coordinator"], config["attempt"]
    ended = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(coordinator, ended), name="watch-for-stop", daemon=True
    )
    watcher.start()
    lost: list[ProcessLost] = []

    def unless_lost(trial: Trial) -> Any:
        try:
            return config["task"](trial)
        except ProcessLost as error:
            lost.append(error)
            raise

    try:
        end = run_task(unless_lost, config["trial"])
    finally:
        ended.set()
        watcher.join()
    # The trial has not failed: another process has died, which Ray Train is to find out.
    if lost:
        raise lost[0]
    if train.get_context().get_world_rank() == 0:
        ray.get(coordinator.put_end.remote(attempt, end))


def _watch(coordinator: Any, ended: threading.Event) -> None:
    """Stop the run in this process once all runs are stopped.

    It is not in the main thread, and so catches no signal.
    """
    ray = importlib.import_module("ray")
    try:
        while not ended.wait(POLL_S):
            if ray.get(coordinator.stopping.remote()):
                request_stop("SIGTERM")
    except ray.exceptions.RayError:  # the coordinator's machine is gone; the trial may still end
        pass
