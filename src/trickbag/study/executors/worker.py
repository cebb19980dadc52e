"""A worker process: it runs one trial after the other, so that imports and shared data are paid for
once."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Literal

from trickbag.data.loading.workers import shielded_start
from trickbag.errors import Stopped
from trickbag.study.executors.inline import describe

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result

__all__ = ["Message", "Worker", "environment"]

Message = (
    tuple[Literal["ready"], None]
    | tuple[Literal["result"], "Result"]
    | tuple[Literal["failed", "stopped", "unusable"], str]
)
"""What a worker says: it can take trials (`ready`) or cannot read the task (`unusable`); how its
trial ended."""

_END_S = 5.0


class Worker:
    """A worker process as its parent sees it.

    `place` counts the workers that run at a time, from 0. `ready` is set once it can take trials,
    which needs the task; `trial` is the one that it has. The process starts with `changes` in its
    environment, calls `first` if there is one, and ends when its parent does.
    """

    def __init__(
        self, place: int, changes: Mapping[str, str], first: Callable[[], None] | None = None
    ) -> None:
        self.place = place
        self.ready = False
        self.trial: Trial | None = None
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # Not a daemon: those may not have children, and a trial has when its images are read by
        # processes.
        self.process = context.Process(target=_serve, args=(theirs, first), name=f"trials-{place}")
        try:
            with environment(changes), shielded_start():
                self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()

    def set_task(self, task: bytes) -> None:
        """Hand over the pickled task, once and before any trial; a worker that has just died is
        found out later."""
        with suppress(OSError):
            self.connection.send_bytes(task)

    def give(self, trial: Trial) -> None:
        """Hand over a trial. Raises what pickling raises; a worker that has just died is found out
        later."""
        data = pickle.dumps(trial)
        self.trial = trial
        with suppress(OSError):
            self.connection.send_bytes(data)

    def messages(self) -> tuple[list[Message], str]:
        """Return what the worker has said, and how it died, or an empty text while it lives."""
        code = (
            self.process.exitcode
        )  # before the pipe is read: what a dead process said is all there
        said: list[Message] = []
        try:
            while self.connection.poll():
                said.append(self.connection.recv())
        except (EOFError, OSError):
            self.process.join(_END_S)
            self.kill()
            code = self.process.exitcode
        return said, "" if code is None else _cause(code)

    def ask_to_stop(self) -> None:
        """Ask the trial to save and end."""
        self.process.terminate()

    def dismiss(self) -> None:
        """Let an idle worker go; it ends by itself."""
        self.connection.close()

    def kill(self) -> None:
        """End the process at once, and wait for that."""
        self.process.kill()
        self.process.join()

    def close(self, timeout_s: float = 0.0) -> None:
        """Wait for the end, force it where that takes too long, and free what the process held
        here."""
        self.connection.close()
        self.process.join(timeout_s)
        self.kill()
        self.process.close()


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Change environment variables while processes start, which inherit them: later is too late for those they import.

    Not for several threads at a time.
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


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _serve(connection: Connection, first: Callable[[], None] | None) -> None:
    """Run trials until the parent hangs up. This is the worker process's main function."""
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    # Ctrl-C reaches the whole group of processes, but only the parent decides. While a trial runs,
    # its own handlers stand instead; in the moments before and after, a request to stop is passed
    # over, and the parent repeats it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _pass_over)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    if first is not None:
        with suppress(
            Exception
        ):  # what cannot be had now is asked for again, and its error told, by a trial
            first()
    try:
        pickled = connection.recv_bytes()
        try:
            task: Task = pickle.loads(pickled)
        except Exception as error:
            connection.send(("unusable", describe(error)))
            return
        connection.send(("ready", None))
        while True:
            data = connection.recv_bytes()
            connection.send_bytes(_answer(task, data))
    except (EOFError, OSError):
        # At once: between trials there is nothing to put away, and taking down what was imported
        # takes a second.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    except KeyboardInterrupt:  # of a second SIGINT within the trial
        raise SystemExit(128 + signal.SIGINT) from None


def _answer(task: Task, data: bytes) -> bytes:
    """Run a pickled trial; return the pickled message of how it ended."""
    message: Message
    try:
        message = ("result", task(pickle.loads(data)))
        return pickle.dumps(message)
    except KeyboardInterrupt:
        raise
    except Stopped as error:
        message = ("stopped", error.signal)
    except BaseException as error:
        message = ("failed", describe(error))
    return pickle.dumps(message)


def _pass_over(*_: object) -> None:
    pass


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)  # at once: whoever goes on with the study may not find two writers
