"""The library `datasets`: imported, told where a data set is, and kept quiet."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.errors import RunFailed, UserError, first_line
from trickbag.output import third_party_output
from trickbag.paths import expanded

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["import_library", "load_splits", "located"]


def import_library(spec: str) -> Any:
    """Return the library; UserError if it is not installed."""
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"data source {spec!r} needs the library datasets",
            "pip install 'trickbag[hf]'",
        ) from None
    return datasets


def located(name: str, spec: str) -> tuple[Path | str, str | None]:
    """Return a folder or a name on the Hub, and the subset."""
    for text, subset in ((name, ""), (name.rpartition(":")[0], name.rpartition(":")[2])):
        path = expanded(text)
        try:
            if text.strip() and path.is_dir():
                return path.absolute(), subset or None
        except (OSError, ValueError) as error:
            raise UserError(f"data source {spec!r} cannot be read: {error}") from None
    text, _, subset = name.partition(":")
    if not text.strip():
        raise UserError(f"data source {spec!r} names nothing", "hf:NAME, or hf:FOLDER")
    if text.startswith(("/", ".", "~")) or "\\" in text:
        raise UserError(f"data source {spec!r}: {text} is no folder", "hf:NAME, or hf:FOLDER")
    return text, subset or None


def load_splits(
    library: Any, place: Path | str, subset: str | None, spec: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the splits of a data set, and the files that the library took them from."""
    # The formats' own names (`imagefolder`) would load what lies in the working directory.
    formats = library.packaged_modules._PACKAGED_DATASETS_MODULES
    if isinstance(place, str) and place in formats:
        raise UserError(f"data source {spec!r}: {place} is a format, no data set", "hf:FOLDER")
    try:
        with _quiet(), third_party_output():
            if isinstance(place, Path) and _is_saved(place):
                loaded, files = library.load_from_disk(str(place), keep_in_memory=False), []
            else:
                builder, loaded = _build(library, place, subset)
                files = _files(builder)
    except MemoryError:
        raise
    except Exception as error:
        # The library has errors of many kinds, and raises those of others.
        raise _unreadable(error, place, subset, spec) from None
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}, files


def _build(library: Any, place: Path | str, subset: str | None) -> tuple[Any, Any]:
    """Return what builds a data set, and its splits."""
    builder = library.load_dataset_builder(str(place), name=subset)
    builder.download_and_prepare()
    loaded = builder.as_dataset(in_memory=False)
    if list(builder.info.features) != ["image"] or not hasattr(builder.config, "drop_labels"):
        return builder, loaded
    # Of images in one class folder alone the library forgets the class. Where there are more, and
    # it has none, folders lie at more than one depth: their names are no classes.
    labelled = library.load_dataset_builder(str(place), name=subset, drop_labels=False)
    labelled.download_and_prepare()
    labels = labelled.info.features.get("label")
    if labels is None or len(labels.names) != 1:
        return builder, loaded
    return labelled, labelled.as_dataset(in_memory=False)


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _files(builder: Any) -> list[str]:
    files = builder.config.data_files or {}
    return [str(file) for split in files.values() for file in split]


def _unreadable(
    error: Exception, place: Path | str, subset: str | None, spec: str
) -> UserError | RunFailed:
    # The second line names what there is to choose from.
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    reason = ". ".join(lines[:2]) or type(error).__name__
    # What the file of a split held is said by the error behind a failed preparation.
    if (cause := error.__cause__) is not None and first_line(cause) not in reason:
        reason = f"{reason} ({first_line(cause)})"
    if isinstance(error, OSError) and error.errno is not None and isinstance(place, str):
        return RunFailed(f"data source {spec!r}: {reason}")
    if isinstance(place, Path):
        return UserError(
            f"data source {spec!r} cannot be loaded: {reason}",
            "a folder holds images in class folders, Parquet files, or a saved data set",
        )
    if isinstance(error, ConnectionError):
        return UserError(
            f"data source {spec!r} is not in the cache, and the Hub cannot be reached: {reason}",
            "connect, or download it elsewhere and name its folder: hf:FOLDER",
        )
    return UserError(f"data source {spec!r} cannot be loaded: {reason}", "hf:NAME[:SUBSET]")


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the library report errors alone, and draw its bars on terminals alone."""
    import datasets

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    bars = not datasets.are_progress_bars_disabled() and not sys.stderr.isatty()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    if bars:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            datasets.enable_progress_bars()
