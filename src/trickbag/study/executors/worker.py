"""A worker process, which runs one trial after the other and imports but once."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from trickbag.data.loading.workers import end_with_parent, shielded_start
from trickbag.errors import Stopped
from trickbag.output import guard_streams
from trickbag.study.executors.trial_end import error_text

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result

__all__ = ["Message", "Worker", "changed_environment"]

Message = (
    tuple[Literal["ready"], None]
    | tuple[Literal["result"], "Result"]
    | tuple[Literal["failed", "stopped", "unusable"], str]
)
"""What a worker sends: its kind and its content.

ready: the worker can take trials. unusable: it cannot read the task; the error's text. result,
failed, stopped: how its trial ended; the result, the error's text, the signal's name.
"""

_END_S = 5.0


class Worker:
    """A worker process as its parent sees it.

    `place` counts the workers that run at a time, from 0. `ready` is set once it can take trials,
    which needs the task; `trial` is the one that it has. The process starts with `changes` in its
    environment, calls `initializer` if there is one, and ends when its parent does.
    """

    def __init__(
        self, place: int, changes: Mapping[str, str], initializer: Callable[[], None] | None = None
    ) -> None:
        self.place = place
        self.ready = False
        self.trial: Trial | None = None
        # A forked process may hang in torch's threads, and cannot use CUDA once its parent has.
        context = multiprocessing.get_context("spawn")
        self.connection, end_of_worker = context.Pipe()
        # Not a daemon: those may not have children, and a trial has when its images are read by
        # processes.
        self.process = context.Process(
            target=_serve, args=(end_of_worker, initializer), name=f"trials-{place}"
        )
        try:
            with changed_environment(changes), shielded_start():
                self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            # While this process held that end too, the death of the worker would not end the pipe.
            end_of_worker.close()

    def send_task(self, task: bytes) -> None:
        """Send the pickled task, once and before any trial."""
        # The death of a worker is noticed by `messages`.
        with suppress(OSError):
            self.connection.send_bytes(task)

    def send_trial(self, trial: Trial) -> None:
        """Send a trial. Raises what pickling raises."""
        data = pickle.dumps(trial)
        self.trial = trial
        with suppress(OSError):
            self.connection.send_bytes(data)

    def messages(self) -> tuple[list[Message], int | None]:
        """Return what the worker has sent, and its exit code, None while it lives."""
        # Asked before the pipe is read: everything that a dead process has sent is in there.
        code = self.process.exitcode
        received: list[Message] = []
        try:
            while self.connection.poll():
                received.append(self.connection.recv())
        except (EOFError, OSError):
            self.process.join(_END_S)
            self.kill()
            code = self.process.exitcode
        return received, code

    def request_stop(self) -> None:
        """Let the trial save and end."""
        self.process.terminate()

    def dismiss(self) -> None:
        """Let an idle worker end by itself."""
        self.connection.close()

    def kill(self) -> None:
        """End the process at once, and wait for that."""
        self.process.kill()
        self.process.join()

    def close(self, timeout_s: float = 0.0) -> None:
        """Wait for the process to end, kill it after a time, and free what it held here."""
        self.connection.close()
        self.process.join(timeout_s)
        self.kill()
        self.process.close()


@contextmanager
def changed_environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Change environment variables while processes start, which inherit them.

    Later is too late for variables that are read by an import. Not for several threads at a time.
    """
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _serve(connection: Connection, initializer: Callable[[], None] | None) -> None:
    """Run trials until the parent hangs up. This is the worker process's main function."""
    end_with_parent()
    guard_streams()
    # Ctrl-C reaches the whole group of processes, but only the parent decides. While a trial runs,
    # its own handlers stand instead; just before and after, a request to stop is passed over, and
    # the parent repeats it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _pass_over)
    # The parent held both back while this process started, and a child inherits the mask.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    if initializer is not None:
        # A trial that needs what is missing reports it.
        with suppress(Exception):
            initializer()
    try:
        pickled = connection.recv_bytes()
        try:
            task: Task = pickle.loads(pickled)
        except Exception as error:
            connection.send(("unusable", error_text(error)))
            return
        connection.send(("ready", None))
        while True:
            trial = connection.recv_bytes()
            connection.send_bytes(_run_pickled(task, trial))
    except (EOFError, OSError):
        # At once: between trials there is nothing to put away, and taking down what was imported
        # takes a second.
        # There may be no output, as in a daemon, or nobody to read it.
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(0)
    except KeyboardInterrupt:  # a second SIGINT within the trial
        raise SystemExit(128 + signal.SIGINT) from None


def _run_pickled(task: Task, trial: bytes) -> bytes:
    """Run a pickled trial; return the pickled message of how it ended."""
    message: Message
    try:
        message = ("result", task(pickle.loads(trial)))
        return pickle.dumps(message)
    except KeyboardInterrupt:
        raise
    except Stopped as error:
        message = ("stopped", error.signal)
    except BaseException as error:
        message = ("failed", error_text(error))
    return pickle.dumps(message)


def _pass_over(*_: object) -> None:
    pass
