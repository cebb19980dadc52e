"""The images that a trained network is evaluated on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.config import DataConfig
from trickbag.data.dataset import fingerprint, prepare
from trickbag.data.sources import is_table, open_source
from trickbag.errors import Note, UserError, choices

if TYPE_CHECKING:
    from collections.abc import Callable

    from trickbag.data.source import DataError, Part, Source
    from trickbag.evaluate.trained import Trained

__all__ = ["PARTS", "Selection", "select"]

PARTS = ("train", "val", "test")

_CHANGED = Note(
    "data", None, "the data have changed since the run, so its metrics may not come out again"
)
_NAMED_UNKNOWN, _NAMED_KNOWN = 3, 10
"""Number of classes that an error names: those that the network does not know, and its own."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A part of a data source, with labels that are places in the network's classes.

    `name` is that of the part. `left_out` are the files of the source that cannot be used.
    """

    data: DataConfig
    name: str
    part: Part
    left_out: tuple[DataError, ...]
    notes: tuple[Note, ...]


def select(
    trained: Trained,
    *,
    data: str | None,
    image_root: str | None,
    part: str | None,
    progress: Callable[[int, int], None] | None,
) -> Selection:
    """Select the images to evaluate: of the run's own data, or of another source.

    Without `data` they are the run's validation images. The run's data at another place are
    recognised by their fingerprint, and split as in the run. Of any other source all images of the
    part are taken: of `val` by default, else of `test`, else all of them. Raises UserError if the
    data cannot be used.
    """
    if part is not None and part not in PARTS:
        raise UserError(f"part = {part!r}: must be one of {', '.join(PARTS)}")
    if trained.record is None:
        if data is None:
            raise UserError(
                f"{trained.path} has no recipe.json beside it that names its data",
                "give them with --data SOURCE",
            )
        multi_label = trained.thresholds is not None
        config = DataConfig(source=data, image_root=image_root, multi_label=multi_label)
        return _select_from_source(trained, config, _open(trained, config), part)
    try:
        run_data = trained.record.data
    except UserError as error:
        raise UserError(
            f"the recipe.json of {trained.path} is damaged: {error}",
            "give the data with --data SOURCE",
        ) from error
    if data is None:
        if image_root is not None:
            run_data = dataclasses.replace(run_data, image_root=image_root)
        return _select_from_run(trained, run_data, part, progress)
    config = dataclasses.replace(run_data, source=data, image_root=image_root)
    source = _open(trained, config)
    if fingerprint(source.classes, source.parts) == trained.record.fingerprint:
        return _select_from_run(trained, config, part, progress)
    return _select_from_source(trained, config, source, part)


def _open(trained: Trained, config: DataConfig) -> Source:
    if config.multi_label and not is_table(config.source):
        raise UserError(
            f"{trained.path} gives several labels an image, and {config.source} has one",
            "name a .csv file whose rows hold the labels, divided by blanks",
        )
    return open_source(config)


def _select_from_run(
    trained: Trained,
    config: DataConfig,
    name: str | None,
    progress: Callable[[int, int], None] | None,
) -> Selection:
    """Select a part of the run's data, which are prepared and split as in the run."""
    dataset = prepare(config, progress=progress)
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    name = name or "val"
    part = parts[name]
    if part is None:
        raise UserError(f"--part {name}: {config.source} has no {name} part; it has train, val")
    fingerprint_of_run = None if trained.record is None else trained.record.fingerprint
    return Selection(
        data=config,
        name=name,
        part=_relabelled(part, dataset.classes, trained.classes, config.source),
        left_out=dataset.errors,
        notes=(_CHANGED,) if dataset.fingerprint != fingerprint_of_run else (),
    )


def _select_from_source(
    trained: Trained, config: DataConfig, source: Source, name: str | None
) -> Selection:
    """Select all images of a part of a source; no image is held back."""
    name = name or next(name for name in ("val", "test", "train") if name in source.parts)
    if name not in source.parts:
        raise UserError(
            f"--part {name}: {config.source} has no {name} part; it has {choices(source.parts)}"
        )
    part = source.parts[name]
    if not len(part):
        raise UserError(f"{config.source} has no images in its {name} part")
    return Selection(
        data=config,
        name=name,
        part=_relabelled(part, source.classes, trained.classes, config.source),
        left_out=source.left_out,
        notes=source.notes,
    )


def _relabelled(
    part: Part, classes: tuple[str, ...], network_classes: tuple[str, ...], source: str
) -> Part:
    """Turn labels, places in `classes`, into places in `network_classes`, by name.

    Raises UserError if an image has a class that the network does not know.
    """
    labels = part.labels
    multi_label = labels.ndim == 2
    used = np.flatnonzero(labels.any(axis=0)) if multi_label else np.unique(labels)
    names = [classes[i] for i in used]
    unknown = [name for name in names if name not in network_classes]
    if unknown:
        rest = len(unknown) - _NAMED_UNKNOWN
        more = f" and {rest} more" if rest > 0 else ""
        dots = ", ..." if len(network_classes) > _NAMED_KNOWN else ""
        raise UserError(
            f"{source} has classes that the network does not know: "
            f"{', '.join(unknown[:_NAMED_UNKNOWN])}{more}; "
            f"it knows {', '.join(network_classes[:_NAMED_KNOWN])}{dots}"
        )
    if multi_label:
        relabelled = np.zeros((len(labels), len(network_classes)), np.int64)
        for name in names:
            relabelled[:, network_classes.index(name)] = labels[:, classes.index(name)]
        return dataclasses.replace(part, labels=relabelled)
    # -1 is never looked up: no image has a class that the network does not know.
    places = np.array(
        [network_classes.index(name) if name in network_classes else -1 for name in classes],
        np.int64,
    )
    return dataclasses.replace(part, labels=places[labels])
