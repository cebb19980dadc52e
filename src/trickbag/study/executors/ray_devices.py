"""A trial that several processes train together, each on a device of its own: by Ray Train."""

from __future__ import annotations

import importlib
import os
import signal
import tempfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.errors import Stopped, UserError
from trickbag.study.executors.inline import describe
from trickbag.train.machine.signals import request_stop

if TYPE_CHECKING:
    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial

__all__ = ["Devices", "outcome_of", "require_ray_train", "run_together"]

_ASK_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Devices:
    """What a trial gets: `count` processes, each with `cpus` cores and `gpus` devices (0 or 1)."""

    count: int
    cpus: float
    gpus: float


def require_ray_train() -> None:
    """Raise UserError where Ray Train lacks a package that it needs."""
    try:
        importlib.import_module("ray.train")
    except ImportError as error:
        raise UserError(
            f"trials of several devices need Ray Train: pip install trickbag[ray] "
            f"({' '.join(str(error).split())})"
        ) from error


def outcome_of(task: Task, trial: Trial) -> tuple[str, Any]:
    """Run a trial; return how it ended, and its result or what was said."""
    try:
        return "result", task(trial)
    except Stopped as error:
        return "stopped", str(error)
    except KeyboardInterrupt:  # cancelled by somebody else
        return "died", "cancelled"
    except BaseException as error:
        return "failed", describe(error)


def run_together(
    task: Task, trial: Trial, desk: Any, turn: str, devices: Devices
) -> tuple[str, Any]:
    """Run a trial by processes that Ray Train starts, from a task of Ray that only waits for them.

    A process that dies ends the others; the trial is then run again as any other, and goes on from
    its checkpoint.
    """
    ray = importlib.import_module("ray")
    if not ray.get(desk.begin.remote(turn)):
        return "left", "stopped before it began"
    # A study's folder and its data may have names that hold from here alone.
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    train, torch = importlib.import_module("ray.train"), importlib.import_module("ray.train.torch")
    resources = {"CPU": devices.cpus} | ({"GPU": devices.gpus} if devices.gpus else {})
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # Ray Train wants a place for checkpoints of its own; ours lie in the trial's folder.
    with tempfile.TemporaryDirectory(prefix="ray-train-") as place:
        trainer = torch.TorchTrainer(
            _work,
            train_loop_config={"task": task, "trial": trial, "desk": desk, "turn": turn},
            torch_config=torch.TorchConfig(
                backend="cpu:gloo,cuda:nccl" if devices.gpus else "gloo"
            ),
            scaling_config=train.ScalingConfig(
                num_workers=devices.count,
                use_gpu=bool(devices.gpus),
                resources_per_worker=resources,
            ),
            run_config=train.RunConfig(
                storage_path=place, failure_config=train.FailureConfig(max_failures=0)
            ),
        )
        try:
            trainer.fit()
        except train.TrainingFailedError as error:
            return "died", type(error).__name__
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    found: tuple[str, Any] = ray.get(desk.take.remote(turn))
    return found


def _work(config: dict[str, Any]) -> None:
    """Train, in one of the processes; the first one leaves at the desk how the trial ended."""
    from trickbag.train.machine.parallel import ProcessLost

    ray, train = importlib.import_module("ray"), importlib.import_module("ray.train")
    desk, turn = config["desk"], config["turn"]
    ended = threading.Event()
    asking = threading.Thread(target=_pass_on, args=(desk, ended), name="ask-to-stop", daemon=True)
    asking.start()

    def unless_lost(trial: Trial) -> Any:
        try:
            return config["task"](trial)
        except ProcessLost as error:  # the trial has not failed: the process that is gone is what ends it
            lost.append(error)
            raise

    lost: list[ProcessLost] = []
    try:
        outcome = outcome_of(unless_lost, config["trial"])
    finally:
        ended.set()
        asking.join()
    if lost:
        raise lost[0]
    if train.get_context().get_world_rank() == 0:
        ray.get(desk.leave.remote(turn, outcome))


def _pass_on(desk: Any, ended: threading.Event) -> None:
    """Ask the run in this process to stop, which is not in its main thread and so catches no
    signal, once all shall."""
    ray = importlib.import_module("ray")
    try:
        while not ended.wait(_ASK_S):
            if ray.get(desk.stopping.remote()):
                request_stop("SIGTERM")
    except ray.exceptions.RayError:  # the machine of the desk has gone; the trial may still end
        pass
