"""Where shards lie: on a disk, or at an address that `fsspec` opens."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from trickbag.data.decoding.decode import DecodeError
from trickbag.data.source import Stamp
from trickbag.errors import RunFailed, UserError, first_line
from trickbag.paths import expanded

if TYPE_CHECKING:
    pass

__all__ = ["Disk", "Remote", "Storage", "storage_of"]


class Storage(ABC):
    """A place of files. Paths are those that its own methods return."""

    @abstractmethod
    def is_folder(self, path: str) -> bool:
        """Return whether a path is a folder."""

    @abstractmethod
    def inner_files(self, folder: str) -> list[str]:
        """Return the files in a folder and in the folders within."""

    @abstractmethod
    def matches(self, pattern: str) -> list[str]:
        """Return the files that match a glob."""

    @abstractmethod
    def stamp(self, path: str) -> Stamp | None:
        """Return path, size and time of change of a file; None if there is none."""

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """Open a file for reading at any place."""

    @abstractmethod
    def read(self, stamp: Stamp, start: int, size: int) -> bytes:
        """Return `size` bytes of a file from `start`.

        Raises DecodeError if the file is not that of the stamp any more, or cannot be read, and
        RunFailed if it is the process or the network that cannot.
        """


@dataclass(frozen=True)
class Disk(Storage):
    """Files of this machine, and of what it has mounted."""

    def is_folder(self, path: str) -> bool:
        """Return whether a path is a folder."""
        return os.path.isdir(path)

    def inner_files(self, folder: str) -> list[str]:
        """Return the files in a folder and in the folders within, links to folders followed."""
        files, seen = [], set()
        for inner, folders, names in os.walk(folder, followlinks=True):
            # Links can go in circles.
            place = os.path.realpath(inner)
            if place in seen:
                folders.clear()
                continue
            seen.add(place)
            files += [os.path.join(inner, name) for name in names]
        return files

    def matches(self, pattern: str) -> list[str]:
        """Return the files that match a glob."""
        return glob.glob(pattern, recursive=True)

    def stamp(self, path: str) -> Stamp | None:
        """Return path, size and time of change of a file; None if there is no regular one."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        # Opening a pipe would wait for ever.
        if not stat.S_ISREG(status.st_mode):
            return None
        return Stamp(path, status.st_size, status.st_mtime_ns)

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading at any place."""
        return open(path, "rb")

    def read(self, stamp: Stamp, start: int, size: int) -> bytes:
        """Return bytes of a file, if it has not changed since it was listed."""
        try:
            with open(stamp.place, "rb") as file:
                status = os.fstat(file.fileno())
                if (status.st_size, status.st_mtime_ns) != stamp[1:]:
                    raise DecodeError("its shard has changed since it was listed")
                file.seek(start)
                return file.read(size)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise RunFailed(
                    f"{stamp.place} cannot be opened: {error.strerror}",
                    "raise the limit (ulimit -n), or set data.workers lower",
                ) from None
            raise DecodeError(f"cannot be read: {error.strerror or error}") from None


@dataclass(frozen=True)
class Remote(Storage):
    """Files at addresses of one protocol, such as `https`, by the library `fsspec`."""

    protocol: str

    def _system(self) -> Any:
        import fsspec

        # It keeps one for each process and protocol.
        return fsspec.filesystem(self.protocol)

    def is_folder(self, path: str) -> bool:
        """Return whether an address is that of a folder, where its protocol has folders."""
        return bool(self._system().isdir(path)) and not path.endswith(".tar")

    def inner_files(self, folder: str) -> list[str]:
        """Return the files in a folder and in the folders within."""
        return [self._address(path) for path in self._system().find(folder)]

    def matches(self, pattern: str) -> list[str]:
        """Return the files that match a glob."""
        return [self._address(path) for path in self._system().glob(pattern)]

    def _address(self, path: str) -> str:
        address: str = self._system().unstrip_protocol(path)
        return address

    def stamp(self, path: str) -> Stamp | None:
        """Return address and size of a file, and a number made of what changes with it."""
        try:
            info = self._system().info(path)
        except FileNotFoundError:
            return None
        changes = [
            str(info[key])
            for key in ("ETag", "etag", "mtime", "LastModified", "updated", "created", "md5Hash")
            if info.get(key) is not None
        ]
        digest = hashlib.blake2b("\0".join(changes).encode(), digest_size=7).digest()
        # -1: a server that does not say.
        size = -1 if info.get("size") is None else int(info["size"])
        return Stamp(path, size, int.from_bytes(digest, "big"))

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading at any place."""
        file: BinaryIO = self._system().open(path, "rb")
        return file

    def read(self, stamp: Stamp, start: int, size: int) -> bytes:
        """Return bytes of a file; a request for each image."""
        if not size:
            return b""
        try:
            data: bytes = self._system().cat_file(stamp.place, start=start, end=start + size)
        except FileNotFoundError:
            raise DecodeError("its shard is gone since it was listed") from None
        except Exception as error:
            # The errors of a protocol's own library. They are no damage to an image.
            raise RunFailed(
                f"{stamp.place} cannot be read: {first_line(error)}",
                "look whether the network answers; copied to a disk, shards need none",
            ) from error
        return data


def storage_of(spec: str, url: str) -> tuple[Storage, str]:
    """Return where a path or an address lies, and the path as its storage takes it.

    Raises UserError for a protocol that cannot be opened.
    """
    protocol, separator, rest = url.partition("://")
    if not separator:
        return Disk(), os.path.abspath(expanded(url))
    if protocol == "file":
        return Disk(), os.path.abspath(rest)
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"data source {spec!r}: {protocol}:// cannot be opened: {first_line(error)}",
            "pip install 'trickbag[wds]', and what its message names",
        ) from None
    # As the addresses of what it lists.
    return Remote(protocol), str(system.unstrip_protocol(path))
