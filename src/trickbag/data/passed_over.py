"""What lies in a source and is not taken: its kinds, the reasons, and how it is counted."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.decoding.formats import EXTENSIONS, file_format
from trickbag.data.source import PassedOver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "NO_EXTENSION",
    "PassedOverFiles",
    "Reason",
    "accounting",
    "files_within",
    "ignored",
    "ignored_path",
    "is_image",
    "may_be_image",
    "reason_of",
    "rules",
]

NO_EXTENSION = "no extension"

_IN_A_SENTENCE = {
    NO_EXTENSION: "without extension",
    "no row names it": "that no row names",
    "no annotation names it": "that no annotation names",
}
"""What kinds are called behind their number."""

_NAMED_KINDS = 8
"""The most kinds that a sentence names."""


class Reason(NamedTuple):
    """Why a file is passed over: see `PassedOver`."""

    kind: str
    reason: str
    ignored: bool = False


_HIDDEN = Reason("hidden", "its name, or that of its folder, begins with a dot", True)
_METADATA = Reason("metadata", "metadata of an operating system or a program, by its name", True)
_THUMBNAIL = Reason("thumbnail", "a small copy that a program or a drive keeps, by its name", True)
_DELETED = Reason("deleted", "in the folder of deleted files of a system or a drive", True)

_METADATA_NAMES = frozenset(
    {
        *("__macosx", "desktop.ini", "icon\r", "__pycache__", "lost+found", "_vti_cnf"),
        *("system volume information", "picasa.ini", "@recently-snapshot", "#snapshot"),
    }
)
_THUMBNAIL_NAMES = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "zbthumbnail.info", "pspbrwse.jbf"),
        *("@eadir", "@thumb", "@__thumb", ".@__thumb", ".thumbnails", ".thumbnail", ".thumbs"),
        *(".thumb", ".dthumb", ".xvpics", ".picasaoriginals", ".picasa.ini"),
    }
)
_THUMBNAIL_ENDS = (".lrdata", ".thmlib")
_DELETED_NAMES = frozenset({"$recycle.bin", "#recycle", "@recycle", "recycler"})

_BY_NAME = {
    **dict.fromkeys(_METADATA_NAMES, _METADATA),
    **dict.fromkeys(_THUMBNAIL_NAMES, _THUMBNAIL),
    **dict.fromkeys(_DELETED_NAMES, _DELETED),
}

_DOCUMENTS = frozenset(
    {
        *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml"),
        *(".html", ".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".toml", ".ini", ".cfg"),
        *(".log", ".lst", ".py", ".ipynb", ".sh", ".bat", ".m", ".r", ".parquet", ".arrow"),
        *(".md5", ".sha1", ".sha256", ".names", ".url", ".bib", ".xmp"),
    }
)
"""Extensions of what nobody means as an image: it is counted, and not listed by name."""

_DOCUMENT_NAMES = frozenset(
    {"readme", "license", "licence", "copying", "copyright", "changelog", "authors", "makefile"}
)

_TEXT = "a text or a table"

_REASONS = {
    **dict.fromkeys(
        (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"),
        "an archive: unpack it first",
    ),
    **dict.fromkeys(
        (".mp4", ".avi", ".mov", ".mkv", ".webm", ".gifv", ".m4v", ".mpg", ".mpeg", ".wmv"),
        "a video",
    ),
    **dict.fromkeys(
        (
            *(".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".dng", ".orf", ".rw2"),
            *(".raf", ".pef", ".srw", ".x3f", ".3fr", ".iiq", ".raw"),
        ),
        "a camera's raw data: convert it first",
    ),
    **dict.fromkeys(
        (
            *(".npy", ".npz", ".mat", ".dcm", ".nii", ".h5", ".hdf5", ".svg", ".psd", ".eps"),
            *(".jxl", ".ico", ".cur", ".icns", ".dds", ".qoi", ".pcx", ".sgi", ".ras", ".pam"),
            *(".exr", ".hdr", ".fits", ".fit", ".xcf", ".ai", ".ps", ".wmf", ".emf"),
        ),
        "a format that is not read here: convert it first",
    ),
}

_IMAGE_EXTENSIONS = tuple(EXTENSIONS)
_IS_EXTENSION = re.compile(r"\.(?=.*[a-z])[a-z0-9_+!~-]{1,16}")


def ignored(name: str) -> Reason | None:
    """Return why a file or folder of this name is never meant as images; None if it may be."""
    lower = name.lower()
    if lower in _BY_NAME:
        return _BY_NAME[lower]
    if lower.endswith(_THUMBNAIL_ENDS):
        return _THUMBNAIL
    return _HIDDEN if name.startswith(".") else None


def ignored_path(name: str) -> Reason | None:
    """Return why a file is never meant as an image by its name, or that of a folder it lies in."""
    return next((reason for step in name.split("/") if (reason := ignored(step))), None)


def _extension(name: str) -> str:
    """Return the extension in lower case; empty where what follows the last dot is none."""
    # "shot.2019" and "cat no. 5" have a dot, but no extension.
    extension = os.path.splitext(name)[1].lower()
    return extension if _IS_EXTENSION.fullmatch(extension) else ""


def may_be_image(name: str) -> bool:
    """Return whether the first bytes decide if a file is an image.

    So it is for files without extension, and for those whose extension goes on after that of an
    image, such as `.jpg_large`.
    """
    extension = _extension(name)
    if extension in EXTENSIONS or name.lower() in _DOCUMENT_NAMES:
        return False
    return not extension or extension.startswith(_IMAGE_EXTENSIONS)


def is_image(path: str, name: str) -> bool:
    """Return whether a file is an image by its extension, or where that says nothing by its bytes.

    `name` is the last part of its path.
    """
    # As `os.path.splitext`, in a third of the time: there can be millions of files.
    if name[name.rfind(".") :].lower() in EXTENSIONS:
        return True
    return may_be_image(name) and file_format(path) is not None


def files_within(path: str) -> Iterator[str]:
    """Yield the files in a folder, as what comes behind its path; "" for a file or a link.

    Of what cannot be read it is the folder itself.
    """
    if os.path.islink(path) or not os.path.isdir(path):
        yield ""
        return
    unreadable: list[OSError] = []
    for folder, _, files in os.walk(path, onerror=unreadable.append):
        within = folder[len(path) :].replace(os.sep, "/")
        for file in files:
            yield f"{within}/{file}"
    if unreadable:
        yield ""


def reason_of(name: str) -> Reason:
    """Return why a file that is not ignored by its name is no image."""
    extension = _extension(name)
    if not extension:
        is_document = name.lower() in _DOCUMENT_NAMES
        reason = _TEXT if is_document else "no image by its first bytes"
        return Reason(NO_EXTENSION, reason, is_document)
    if extension in _DOCUMENTS:
        return Reason(extension, _TEXT, True)
    if extension in _REASONS:
        return Reason(extension, _REASONS[extension])
    by_bytes = may_be_image(name)
    return Reason(
        extension, "no image by its first bytes" if by_bytes else "not the extension of an image"
    )


def rules() -> str:
    """Return a digest of what decides whether a file is an image."""
    tables = [sorted(EXTENSIONS), sorted(_BY_NAME), _THUMBNAIL_ENDS, sorted(_DOCUMENT_NAMES)]
    # Another version can know more formats by their first bytes.
    text = repr([*tables, _IS_EXTENSION.pattern, version("pillow")])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class PassedOverFiles:
    """Gathers the files that a listing passes over, by kind and reason."""

    def __init__(self) -> None:
        self._files: dict[Reason, list[str]] = defaultdict(list)

    def add(self, reason: Reason, names: Iterable[str]) -> None:
        """Add files, by their names relative to the source."""
        self._files[reason] += names

    def add_by_name(self, folder: str, names: Iterable[str]) -> None:
        """Add files of a folder that are neither images nor ignored by their name."""
        for name in names:
            self._files[reason_of(name)].append(f"{folder}/{name}" if folder else name)

    def records(self) -> tuple[PassedOver, ...]:
        """Return the records: what may have been meant first, and the most frequent first."""
        records = [
            PassedOver(reason.kind, reason.reason, tuple(sorted(set(files))), reason.ignored)
            for reason, files in self._files.items()
            if files
        ]
        return tuple(
            sorted(records, key=lambda record: (record.ignored, -len(record.files), record[:2]))
        )


def accounting(taken: int, passed_over: Sequence[PassedOver]) -> str:
    """Say how many files are taken and passed over: `taken 20, passed over 7: 4 .avif, 3 .pgm`."""
    counts: dict[str, int] = defaultdict(int)
    for record in passed_over:
        counts[record.kind] += len(record.files)
    kinds = [f"{count:,} {_IN_A_SENTENCE.get(kind, kind)}" for kind, count in counts.items()]
    more = f" and {len(kinds) - _NAMED_KINDS} more kinds" if len(kinds) > _NAMED_KINDS else ""
    named = f": {', '.join(kinds[:_NAMED_KINDS])}{more}" if kinds else ""
    return f"taken {taken:,}, passed over {sum(counts.values()):,}{named}"
