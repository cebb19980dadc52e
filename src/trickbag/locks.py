"""Locks of folders: one process at a time, until it ends, however it ends.

The kernel holds the lock for an open file (flock) and frees it with the process. Whoever holds the
lock removes the file as the last thing before it lets go. A process that opened the file just
before that gets the lock of a file that has lost its name: it notices, and opens the name again. So
two processes never hold the lock of the same name, and no lock file is left behind but by a process
that was killed; that file is then locked again as it is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trickbag.errors import Note, UserError

__all__ = ["LOCK_FILE", "is_locked", "locked", "locked_folder", "refusal"]

LOCK_FILE = ".lock"
"""The name of the lock file in a folder."""

_POLL_S = 0.1
_RETRIES = 100
_LONGEST_HOLDER = 1024
"""Bytes of a lock file that are read: those written here are shorter."""

if sys.platform == "win32":
    import msvcrt

    # Windows lets nobody read what is locked: a byte behind the text is locked.
    _LOCKED_BYTE = 1 << 20

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        """Lock an open file unless another one of the same file has the lock.

        Raises OSError where the file system has no locks.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True


@contextlib.contextmanager
def locked_folder(
    folder: Path, busy: Callable[[str], None], *, new: bool = False
) -> Iterator[Note | None]:
    """Create a folder if need be, and hold its lock within the block, as `locked` does.

    A folder that is created here, or was by the caller (`new`), is removed if nothing is in it at
    the end. A folder in which this process may not write needs no lock, and has none.
    """
    new = new or not folder.exists()
    try:
        with locked(folder / LOCK_FILE, busy, required=False) as note:
            yield note
    finally:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def locked(
    file: Path, busy: Callable[[str], None], *, required: bool = True
) -> Iterator[Note | None]:
    """Hold the lock of a file within the block; create it and its folder, and remove it at the end.

    While another process holds the lock, `busy` is called again and again with words for that
    process; it gives up by an error of its own. Gives a note where the disk has no locks: the block
    then runs without one, as it does if no file can be created and none is `required`. Raises
    UserError if a required one cannot be created, or something else lies in its place.
    """
    note: Note | None = None
    descriptor: int | None = None
    try:
        descriptor = _acquire(file, busy)
    except _Unwritable:
        if required:
            raise
    except _NoLocks as error:
        note = Note(
            "folder",
            None,
            f"the disk of {file.parent} has no locks ({error}): a second process that writes there "
            "at the same time is not noticed",
        )
    try:
        yield note
    finally:
        if descriptor is not None:
            _release(file, descriptor)


def is_locked(file: Path) -> bool:
    """Tell whether a process holds the lock of a file; remove the file if none does.

    False if there is no such file, or it is no lock file.
    """
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(file, flags)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or _holder(descriptor) is None:
            return False
        if not _try_lock(descriptor):
            return True
        _remove(file, descriptor)
        return False
    except OSError:
        return False  # the disk has no locks
    finally:
        os.close(descriptor)


def refusal(holder: str, folder: Path, out: str) -> UserError:
    """Return the error of a folder that another process works in; `out` names the option for it."""
    return UserError(
        f"{holder} works in {folder}", f"wait for its end, stop it, or choose another {out}"
    )


class _NoLocks(Exception):
    """The file system has no locks."""


class _Unwritable(UserError):
    """No file can be created in the folder."""


def _acquire(file: Path, busy: Callable[[str], None]) -> int:
    """Return the descriptor that has the lock."""
    while True:
        with contextlib.ExitStack() as opened:
            descriptor = _open(file)
            opened.callback(os.close, descriptor)
            try:
                acquired = _try_lock(descriptor)
            except OSError as error:
                if error.errno != errno.ESTALE:
                    _remove(file, descriptor)
                    raise _NoLocks(error.strerror or str(error)) from error
                acquired = False  # another machine has removed the file
            holder = _holder(descriptor)
            if acquired and _has_name(file, descriptor):
                if holder is None:
                    raise _foreign(file, "it holds something else than the process that works here")
                _write_holder(descriptor)
                opened.pop_all()
                return descriptor
        if not acquired:
            busy(holder or _SOME_PROCESS)
            time.sleep(_POLL_S)


def _release(file: Path, descriptor: int) -> None:
    try:
        _remove(file, descriptor)
    finally:
        os.close(descriptor)


def _remove(file: Path, descriptor: int) -> None:
    # Windows removes no open file: it stays there, and is locked again as it is.
    with contextlib.suppress(OSError):
        if os.name == "posix" and _has_name(file, descriptor):
            file.unlink()


def _open(file: Path) -> int:
    """Open a lock file, and create it and its folder."""
    # Not through a link, and without waiting for the other end of a pipe.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    for _ in range(_RETRIES):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            # pathlib looks whether a folder is in the way; by then it can have been removed.
            if isinstance(error, FileExistsError | FileNotFoundError) and not os.path.lexists(
                file.parent
            ):
                continue
            reason = error.strerror or str(error)
            raise UserError(f"cannot make the folder {file.parent}: {reason}") from error
        try:
            descriptor = os.open(file, flags, 0o666)
        except FileNotFoundError:
            continue  # whoever created the folder too has just removed it again
        except OSError as error:
            reason = "it is a link" if error.errno == errno.ELOOP else error.strerror or str(error)
            denied = error.errno in (errno.EACCES, errno.EPERM) and not os.path.lexists(file)
            if denied or error.errno == errno.EROFS:
                raise _Unwritable(f"cannot write in {file.parent}: {reason}") from error
            raise _foreign(file, reason) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _foreign(file, "it is no regular file")
        return descriptor
    raise _Unwritable(f"cannot write in {file.parent}: {os.strerror(errno.ENOENT)}")


def _foreign(file: Path, reason: str) -> UserError:
    return UserError(f"cannot use the lock file {file}: {reason}", "move it away")


def _has_name(file: Path, descriptor: int) -> bool:
    """Tell whether an open file still lies under its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(file))
    except OSError:
        return False


_SOME_PROCESS = "another process"


def _write_holder(descriptor: int) -> None:
    text = json.dumps({"pid": os.getpid(), "host": platform.node()})
    # For a person alone: on a full disk the lock holds without it.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, text.encode())


def _holder(descriptor: int) -> str | None:
    """Name the process that a lock file names; None for a file that was not written here."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        data = os.read(descriptor, _LONGEST_HOLDER)
        content = json.loads(data) if data else None
    except (OSError, ValueError, RecursionError):
        return None
    if not data:
        return _SOME_PROCESS
    if not isinstance(content, dict) or content.keys() != {"pid", "host"}:
        return None
    pid, host = content["pid"], str(content["host"])
    return f"process {pid} on {host if host.isprintable() else repr(host)}"
