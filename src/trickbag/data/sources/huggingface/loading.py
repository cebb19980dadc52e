"""The library `datasets`: imported, told where a data set is, and kept quiet."""

from __future__ import annotations

import glob
import logging
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.data.decoding.formats import EXTENSIONS
from trickbag.data.passed_over import ignored
from trickbag.data.sources.part_names import part_name
from trickbag.errors import RunFailed, UserError, first_line
from trickbag.output import third_party_output
from trickbag.paths import expanded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Loaded", "import_library", "load_splits", "located"]


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


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The tables of a data set by their splits, the files that the library took them from, facts.

    There are no files for what `save_to_disk` has written.
    """

    splits: dict[str, Any]
    files: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()


def load_splits(library: Any, place: Path | str, subset: str | None, spec: str) -> Loaded:
    """Load a data set from a folder or, by its name, from the Hub.

    Raises UserError for what the library cannot load, and RunFailed where the disk is to blame.
    """
    # The formats' own names (`imagefolder`) would load what lies in the working directory.
    formats = library.packaged_modules._PACKAGED_DATASETS_MODULES
    if isinstance(place, str) and place in formats:
        raise UserError(f"data source {spec!r}: {place} is a format, no data set", "hf:FOLDER")
    try:
        with _quiet(), third_party_output():
            if isinstance(place, Path) and _is_saved(place):
                return Loaded(
                    splits=_named(library.load_from_disk(str(place), keep_in_memory=False))
                )
            return _build(library, place, subset)
    except MemoryError:
        raise
    except Exception as error:
        # The library has errors of many kinds, and raises those of others.
        raise _unreadable(error, place, subset, spec) from None


def _named(loaded: Any) -> dict[str, Any]:
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}


def _build(library: Any, place: Path | str, subset: str | None) -> Loaded:
    options: dict[str, Any] = {"name": subset}
    builder = library.load_dataset_builder(str(place), **options)
    facts: list[str] = []
    if isinstance(place, Path) and subset is None and len(builder.config.data_files or ()) == 1:
        files = _files(builder)
        if hasattr(builder.config, "drop_labels") and _is_one_of_classes(place, files):
            options["data_files"] = {"train": ["**"]}
            builder = library.load_dataset_builder(str(place), **options)
        # The library knows fewer names of parts: `Training` and `Testing` would be trained on.
        elif parts := _names_of_parts(place, files):
            options["data_files"] = {
                part: [
                    glob.escape(name) + ("/**" if (place / name).is_dir() else "") for name in names
                ]
                for part, names in parts.items()
            }
            builder = library.load_dataset_builder(str(place), **options)
            names = sorted(name for names in parts.values() for name in names)
            facts.append(f"read as its parts: {', '.join(names)}")
    builder.download_and_prepare()
    if list(builder.info.features) == ["image"] and hasattr(builder.config, "drop_labels"):
        # Of images in one class folder alone the library forgets the class. Where there are more,
        # and it has none, folders lie at more than one depth: their names are no classes.
        labelled = library.load_dataset_builder(str(place), **options, drop_labels=False)
        labelled.download_and_prepare()
        labels = labelled.info.features.get("label")
        if labels is not None and len(labels.names) == 1:
            builder = labelled
    splits = _named(builder.as_dataset(in_memory=False))
    return Loaded(splits=splits, files=tuple(_files(builder)), facts=tuple(facts))


def _names_of_parts(root: Path, files: Sequence[str]) -> dict[str, list[str]]:
    """Return the folders or files of each part, by the names at the first level that has several.

    There are none if a name says no part, or all say the same.
    """
    steps = [Path(os.path.relpath(file, root)).parts for file in files]
    level = next(
        (i for i in range(min(map(len, steps))) if len({step[i] for step in steps}) > 1), None
    )
    if level is None:
        return {}
    parts: dict[str, list[str]] = {}
    for name in sorted({step[level] for step in steps}):
        place = "/".join((*steps[0][:level], name))
        is_image = Path(name).suffix.lower() in EXTENSIONS and (root / place).is_file()
        named = part_name(name if (root / place).is_dir() else Path(name).stem)
        if named is None or is_image:
            return {}
        parts.setdefault(named.part, []).append(place)
    return parts if len(parts) > 1 else {}


def _is_one_of_classes(root: Path, files: Sequence[str]) -> bool:
    """Return whether files lie right in a folder of the root, and images in others beside it.

    Then a class is called `train`: the library takes it for all there is to train with.
    """
    folders = {Path(os.path.relpath(file, root)).parts[:-1] for file in files}
    if len(folders) != 1 or len(name := folders.pop()) != 1:
        return False
    with os.scandir(root) as entries:
        others = [entry.path for entry in entries if entry.name != name[0] and entry.is_dir()]
    return any(
        Path(file).suffix.lower() in EXTENSIONS
        for folder in others
        if ignored(os.path.basename(folder)) is None
        for file in os.listdir(folder)
    )


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
