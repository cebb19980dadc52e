"""The images that a trained network is evaluated on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.annotations import open_annotated
from trickbag.data.class_names import matched
from trickbag.data.config import DataConfig
from trickbag.data.dataset import fingerprint, prepare
from trickbag.data.decoding.check import check_parts
from trickbag.data.labels import label_counts
from trickbag.data.parts_setting import given_folders
from trickbag.data.pixel_scale import sampled, settle_pixels, versioned
from trickbag.data.sources import can_be_multi_label, is_folder_source
from trickbag.errors import Note, UserError, choices
from trickbag.evaluate.by_wordnet import open_by_wordnet
from trickbag.models.imagenet import names_wordnet_ids
from trickbag.paths import expanded
from trickbag.text import composed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trickbag.data.pixel_scale import PixelScale
    from trickbag.data.source import DataError, Part, Source
    from trickbag.evaluate.trained import Trained

__all__ = ["CHANGED", "PARTS", "Selection", "select"]

PARTS = ("train", "val", "test")

CHANGED = Note(
    "data", None, "the data have changed since the run, so its metrics may not come out again"
)
"""The note of a selection whose images may not be those of the run."""

_SAMPLE = 100
"""The images of another source that tell whether its pixels are those of the run."""

_NAMED, _NAMED_UNKNOWN, _NAMED_KNOWN = 5, 3, 10
"""Number of classes that a note names, and an error: those that the network lacks, and its own."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A part of a data source, with labels that are places in the network's classes.

    `name` is that of the part. `left_out` are the files of the source that cannot be used.
    `is_validation`: these are the validation images of the run.
    """

    data: DataConfig
    name: str
    part: Part
    left_out: tuple[DataError, ...]
    notes: tuple[Note, ...]
    is_validation: bool = False


def select(
    trained: Trained,
    *,
    data: str | None,
    image_root: str | tuple[str, ...] | None,
    part: str | None,
    progress: Callable[[int, int], None] | None,
) -> Selection:
    """Select the images to evaluate: of the run's own data, or of another source.

    Without `data` they are the run's validation images. The run's data at another place are
    recognised by their fingerprint, and split as in the run. Of any other source all images of the
    part are taken: of `val` by default, else of `test`, else all of them. They may be of one class
    or some of the network's classes. Raises UserError if the data cannot be used.
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
        config = DataConfig(
            source=data,
            image_root=image_root,
            multi_label=multi_label,
            label_separator=trained.label_separator if multi_label else None,
        )
        return _select_from_source(trained, config, _open(trained, config), part, progress)
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
    # The validation part of the run is not that of other data.
    config = dataclasses.replace(
        run_data,
        source=data,
        image_root=image_root,
        parts=_parts_in(data, run_data.parts),
        val_source=None,
        label_separator=run_data.label_separator or trained.label_separator,
    )
    if trained.task.annotations != "classes":
        config = dataclasses.replace(config, parts=_lists_in(config, run_data.parts, trained))
    source = _open(trained, config)
    listed = [
        fingerprint(source.classes, source.parts, copies_together=together)
        for together in (False, True)
    ]
    if trained.record.fingerprint in (*listed, *map(versioned, listed)):
        return _select_from_run(trained, config, part, progress)
    return _select_from_source(trained, config, source, part, progress)


def _parts_in(source: str, parts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the run's `data.parts` for another source if that has these folders too."""
    if parts is None or not is_folder_source(source):
        return None
    places = (folder.partition("*")[0] for _, folder in given_folders(parts))
    return parts if all((expanded(source) / place).is_dir() for place in places) else None


def _lists_in(
    config: DataConfig, parts: tuple[str, ...] | None, trained: Trained
) -> tuple[str, ...] | None:
    """Return the run's `data.parts` if another source of annotated images has these lists too."""
    if parts is None:
        return None
    try:
        open_annotated(
            dataclasses.replace(config, parts=parts), trained.task.annotations, for_training=False
        )
    except UserError:
        return None
    return parts


def _open(trained: Trained, config: DataConfig) -> Source:
    if config.multi_label and not can_be_multi_label(config.source):
        raise UserError(
            f"{trained.path} gives several labels an image, and {config.source} has one",
            "name a .csv file or another table, whose rows hold the labels, or its pack",
        )
    annotations = trained.task.annotations
    if annotations == "classes" and names_wordnet_ids(trained.classes):
        return open_by_wordnet(config, trained.classes)
    return open_annotated(config, annotations, for_training=False)


def _select_from_run(
    trained: Trained,
    config: DataConfig,
    name: str | None,
    progress: Callable[[int, int], None] | None,
) -> Selection:
    """Select a part of the run's data, which are prepared and split as in the run."""
    dataset = prepare(
        config,
        progress=progress,
        pixels=trained.preprocessing.pixels,
        annotations=trained.task.annotations,
    )
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    name = name or "val"
    part = parts[name]
    if part is None:
        raise UserError(f"--part {name}: {config.source} has no {name} part; it has train, val")
    fingerprint_of_run = None if trained.record is None else trained.record.fingerprint
    changed = [CHANGED] if dataset.fingerprint != fingerprint_of_run else []
    part, notes = _relabelled(part, dataset.classes, trained, config)
    return Selection(
        data=config,
        name=name,
        part=part,
        left_out=dataset.errors,
        notes=(*changed, *notes),
        is_validation=name == "val",
    )


def _select_from_source(
    trained: Trained,
    config: DataConfig,
    source: Source,
    name: str | None,
    progress: Callable[[int, int], None] | None,
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
    part, notes = _relabelled(part, source.classes, trained, config)
    scale = _scale(part, name, trained, config, progress)
    return Selection(
        data=config,
        name=name,
        part=scale.parts[name],
        left_out=source.left_out + scale.errors,
        notes=(*source.notes, *notes, *scale.notes),
    )


def _scale(
    part: Part,
    name: str,
    trained: Trained,
    config: DataConfig,
    progress: Callable[[int, int], None] | None,
) -> PixelScale:
    """Return a part whose images are read as those of the run; and notes on other values.

    For a network whose run had more than 8 bits the values of all images are looked up, else
    those of a few.
    """
    pixels = trained.preprocessing.pixels
    known = part if pixels.ranges else sampled(part, _SAMPLE)
    results = check_parts({name: known}, progress).results
    return settle_pixels(config, {name: part}, results, pixels)


def _relabelled(
    part: Part, classes: tuple[str, ...], trained: Trained, config: DataConfig
) -> tuple[Part, list[Note]]:
    """Turn labels, places in `classes`, into places in the network's classes, by name.

    The notes say which names were matched though they differ, and which classes have no image.
    Raises UserError if an image has a class that the network does not know.
    """
    num_classes = len(trained.classes)
    shown_K = np.array(label_counts(part.labels, len(classes)), np.int64) > 0
    names = [name for name, shown in zip(classes, shown_K, strict=True) if shown]
    known = matched(names, trained.classes, fold=config.merge_labels)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise _unknown_classes(unknown, trained.classes, config.source)
    index = {name: i for i, name in enumerate(trained.classes)}
    # -1 is never looked up: no image has such a class.
    places_K = np.array([index[known[name]] if name in known else -1 for name in classes], np.int64)
    part = part.with_classes(places_K, num_classes)
    notes = []
    changed = [
        f"{name!r} for {known[name]!r}" for name in names if composed(name) != composed(known[name])
    ]
    if changed:
        reason = f"data.merge_labels takes {_some(changed, _NAMED)} of the network's classes"
        notes.append(Note("data", None, f"{config.source}: {reason}"))
    return part, notes + _absent_classes(part, trained, config.source)


def _unknown_classes(unknown: list[str], classes: tuple[str, ...], source: str) -> UserError:
    similar = matched(unknown, classes, fold=True)
    named = [
        f"{name!r} (it knows {similar[name]!r})" if name in similar else repr(name)
        for name in unknown
    ]
    return UserError(
        f"{source} has classes that the network does not know: {_some(named, _NAMED_UNKNOWN)}; "
        f"it knows {_some(classes, _NAMED_KNOWN)}",
        "rename these classes or leave their images out",
    )


def _absent_classes(part: Part, trained: Trained, source: str) -> list[Note]:
    """Note the classes of the network without an image, and what that means for the metrics."""
    classes = trained.classes
    counts = label_counts(part.labels, len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if not absent:
        return []
    reason = f"no image of {len(absent)} of the network's {len(classes)} classes: "
    effect = _EFFECTS_OF_ABSENCE[_kind_of_labels(trained)]
    if len(classes) == 2 and part.labels.ndim == 1:
        effect += "; AUC is undefined"
    return [Note("data", None, f"{source}: {reason}{_some(absent, _NAMED)}; {effect}")]


def _kind_of_labels(trained: Trained) -> str:
    if trained.task.kind != "classification":
        return trained.task.kind
    return "one label" if trained.thresholds is None else "labels"


_EFFECTS_OF_ABSENCE = {
    "one label": "the mean recall leaves them out, the mean F1 counts those that are predicted",
    "labels": "the mean average precision leaves them out, the mean F1 counts those that are "
    "predicted",
    "detection": "the mean average precision leaves them out",
    "segmentation": "the mean IoU counts those that are predicted, the mean recall leaves them out",
}


def _some(names: Sequence[str], limit: int) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
