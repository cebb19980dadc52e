"""Paths: what lies there, opened if it is a regular file, with errors in one line.

A path can come from a person, or from a folder that others have written into. Whoever opens what
is there may wait for ever (a pipe), read without end (a device) or get one of many errors.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from trickbag.errors import UserError
from trickbag.memory import usable_memory

__all__ = [
    "MAPPED",
    "RECIPE",
    "RECORD",
    "TABLE",
    "WEIGHTS",
    "YAML_RECIPE",
    "FileKind",
    "exists",
    "expanded",
    "file_name",
    "given_path",
    "is_file",
    "is_folder",
    "open_regular",
    "open_text",
    "read_bytes",
    "require_regular",
]


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is read back: what messages call it, and the bytes it may have at most.

    None: of any size, as it is mapped and not read.
    """

    name: str
    max_bytes: int | None


RECIPE = FileKind("a recipe", 16 * 2**20)
# PyYAML reads some 100 KB a second.
YAML_RECIPE = FileKind("a recipe in YAML", 2**18)
RECORD = FileKind("a record in JSON", 2**28)
TABLE = FileKind("a table", 2**32)
# Of what does not fit into the memory the first bytes are not worth reading.
WEIGHTS = FileKind("a file of weights", usable_memory())
MAPPED = FileKind("a mapped file", None)

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_WAYS_OUT = {
    errno.EACCES: "let this user read it and the folders above it",
    errno.EPERM: "let this user read it and the folders above it",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "replace the link by the file",
}


def _cannot_read(path: Path, error: OSError | ValueError) -> UserError:
    if isinstance(error, OSError):
        way_out = _WAYS_OUT.get(error.errno or 0, "")
        return UserError(f"cannot read {path}: {error.strerror or error}", way_out)
    if isinstance(error, UnicodeEncodeError):
        # Under some locales the system's calls take ASCII alone.
        return UserError(
            f"{str(path)!r} has characters that {error.encoding}, the encoding of file names here, "
            "cannot hold",
            "set LC_ALL=C.UTF-8 or PYTHONUTF8=1",
        )
    # A path with a zero byte.
    return UserError(f"cannot read {str(path)!r}: it is no name of a file")


def _mode(path: Path) -> int | None:
    """Return the mode of what is at a path, links followed; None if there is nothing."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from error


def exists(path: Path) -> bool:
    """Tell whether there is anything at a path, links followed; UserError if that is not known.

    `Path.exists` raises an OSError for a name that is too long and within a folder that this user
    may not look into; so do `is_file` and `is_dir`.
    """
    return _mode(path) is not None


def is_file(path: Path) -> bool:
    """Tell whether a path leads to a regular file; UserError if that is not known."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: Path) -> bool:
    """Tell whether a path leads to a folder; UserError if that is not known."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def require_regular(path: Path, kind: FileKind) -> None:
    """Check a file that a library is going to open: regular, and of a size that fits its kind.

    Links are followed. Raises FileNotFoundError if there is none, UserError for anything else.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        # A pipe would wait for ever, a device such as /dev/zero has no end.
        other = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UserError(
            f"cannot read {path}: it is {other}, not a regular file", "give a file in its place"
        )
    effective = os.access in os.supports_effective_ids
    if not os.access(path, os.R_OK, effective_ids=effective):
        # Libraries call such a file missing.
        raise _cannot_read(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    if kind.max_bytes is not None and status.st_size > kind.max_bytes:
        raise UserError(
            f"cannot read {path}: it has {status.st_size:,} bytes, and {kind.name} has at most "
            f"{kind.max_bytes:,}",
            "give another copy",
        )


def open_regular(path: Path, kind: FileKind) -> io.BufferedReader:
    """Open a file that is read back: the only function that does.

    Raises FileNotFoundError if there is none; UserError if it is no regular file, larger than its
    kind may be, or cannot be opened.
    """
    require_regular(path, kind)
    try:
        return open(path, "rb", opener=_open_without_waiting)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _cannot_read(path, error) from error


def _open_without_waiting(path: str, flags: int) -> int:
    # A pipe can have taken the file's place since it was checked.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_bytes(path: Path, kind: FileKind) -> bytes | None:
    """Read a file; None if there is none, UserError as `open_regular`."""
    try:
        with open_regular(path, kind) as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot_read(path, error) from error


def open_text(path: Path, kind: FileKind, encoding: str = "utf-8") -> TextIO:
    """Open a text file, whose ends of line stay as they are; raises as `open_regular`."""
    return io.TextIOWrapper(open_regular(path, kind), encoding=encoding, newline="")


def given_path(text: str | Path, option: str) -> Path:
    """Return the path that a person gave for an option; UserError for an empty one."""
    # `Path("")` is the current folder, which nobody means who gives the empty value of a variable.
    if not str(text).strip():
        raise UserError(f"{option} is empty", "give the name of a folder or file")
    return Path(text)


def expanded(text: str | Path) -> Path:
    """Return a path with `~` and `~NAME` replaced by the home folder; UserError without one."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{str(text)!r}: there is no such home folder", "write it out") from error


def file_name(text: str) -> str:
    """Return a text as the name of one file: it leads to no other folder and is not hidden.

    What a file system may refuse is replaced by `-`, and a long text is cut.
    """
    plain = "".join(
        "-" if char in '/\\:*?"<>|' or unicodedata.category(char).startswith("C") else char
        for char in text
    )
    if plain.startswith("."):
        plain = f"-{plain[1:]}"
    # In bytes, as file systems count; half a character at the end is dropped.
    return plain.encode()[:_LONGEST_NAME].decode(errors="ignore") or "unnamed"


_LONGEST_NAME = 120
"""Bytes of the name of a folder that the product chooses; file systems allow 255."""
