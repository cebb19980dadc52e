"""Metrics of a trained network on labelled images: the run's own validation part, or any other
source."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trickbag.data.config import DataConfig
from trickbag.data.dataset import fingerprint, prepare
from trickbag.data.loading.loader import default_workers
from trickbag.data.source import DataError, Part, Source
from trickbag.data.sources import is_table, open_source
from trickbag.errors import RunFailed, UserError, choices
from trickbag.train.loaders import evaluation_loader
from trickbag.train.machine.isolation import isolated
from trickbag.train.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trickbag.evaluate.trained import Trained
    from trickbag.metrics.multi_label import ClassScore

__all__ = ["PARTS", "Evaluation", "evaluate"]

PARTS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of a network on one part of a source.

    `images` were evaluated. `metrics` are `top1`, `top5` and `ece` in percent and `loss` in nats,
    None where undefined. `left_out` names the files of the source that could not be used. With
    several labels an image `metrics` are also those of `trickbag.metrics.multi_label`, at the
    thresholds of the run, and `per_class` has each class's own by name.
    """

    data: str
    part: str
    images: int
    metrics: Mapping[str, float | None]
    left_out: tuple[DataError, ...]
    warnings: tuple[str, ...]
    per_class: Mapping[str, ClassScore] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as plain data, ready for JSON."""
        return {
            "data": self.data,
            "part": self.part,
            "images": self.images,
            **self.metrics,
            **(
                {"classes": {name: vars(score) for name, score in self.per_class.items()}}
                if self.per_class
                else {}
            ),
            "left_out": [{"file": file, "reason": reason} for file, reason in self.left_out],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The images to evaluate, with labels that are places in their source's classes."""

    data: DataConfig
    name: str
    part: Part
    classes: tuple[str, ...]
    left_out: tuple[DataError, ...]
    warnings: tuple[str, ...]


def evaluate(
    trained: Trained,
    *,
    data: str | None = None,
    image_root: str | None = None,
    part: str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate a trained network, each image once, with the preprocessing that is stored with its weights.

    Without `data` the source is the run's own, split as the run split it, and the part its
    validation images. Of any other source the part is its `val`, else its `test`, else all of it:
    nothing is held back. The run's own data at another place are recognised and split as ever.
    `progress(done, total)` is called while files are checked. Raises UserError where the data
    cannot be had or have a class that the network has not, and RunFailed where more than
    `max_bad_fraction` of the images cannot be read.
    """
    chosen = _choose(trained, data, image_root, part, progress)
    labelled = _relabel(chosen, trained.classes)
    loader = evaluation_loader(
        labelled,
        chosen.data,
        trained.preprocessing,
        batch_size=batch_size or trained.batch_size,
        workers=default_workers(labelled, trained.device.type) if workers is None else workers,
        device=trained.device.type,
    )
    # As many threads as the run had: another number gives other last bits.
    threads = torch.get_num_threads() if trained.plan is None else trained.plan.threads
    with loader, isolated(threads, trained.device.type):
        validation = validate(
            trained.network,
            loader,
            preprocessing=trained.preprocessing,
            num_classes=len(trained.classes),
            device=trained.device,
            autocast=trained.autocast,
            layout=trained.layout,
            thresholds=trained.thresholds,
        )
    assert not isinstance(validation, str)  # nothing asked it to stop
    unread = tuple(DataError(name, reason) for name, reason in loader.errors.items())
    if len(unread) > chosen.data.max_bad_fraction * len(labelled):
        raise RunFailed(
            f"{len(unread)} of {len(labelled)} images of {chosen.data.source} cannot be read, such "
            f"as {unread[0].file} "
            f"({unread[0].reason}): more than data.max_bad_fraction = "
            f"{chosen.data.max_bad_fraction:g}; "
            "repair or remove them"
        )
    return Evaluation(
        data=chosen.data.source,
        part=chosen.name,
        images=len(validation.index),
        metrics=validation.metrics,
        left_out=chosen.left_out + unread,
        warnings=chosen.warnings,
        per_class=dict(zip(trained.classes, validation.several.per_class(), strict=True))
        if validation.several
        else {},
    )


def _choose(
    trained: Trained,
    data: str | None,
    image_root: str | None,
    part: str | None,
    progress: Callable[[int, int], None] | None,
) -> _Chosen:
    if part is not None and part not in PARTS:
        raise UserError(f"part = {part!r}: must be one of {', '.join(PARTS)}")
    if trained.record is None:
        if data is None:
            raise UserError(
                f"{trained.path} has no recipe.json beside it that says its data: give them with "
                f"--data SOURCE"
            )
        several = trained.thresholds is not None
        config = DataConfig(source=data, image_root=image_root, multi_label=several)
        return _foreign(config, _opened(trained, config), part)
    try:
        own = trained.record.data
    except UserError as error:
        raise UserError(
            f"the recipe.json of {trained.path} is damaged: {error}; give the data with --data "
            f"SOURCE"
        ) from error
    if data is None:
        config = own if image_root is None else dataclasses.replace(own, image_root=image_root)
        return _own(trained, config, part, progress)
    config = dataclasses.replace(own, source=data, image_root=image_root)
    source = _opened(trained, config)
    if fingerprint(source.classes, source.parts) == _trained_on(trained):
        return _own(trained, config, part, progress)
    return _foreign(config, source, part)


def _opened(trained: Trained, config: DataConfig) -> Source:
    if config.multi_label and not is_table(config.source):
        raise UserError(
            f"{trained.path} gives several labels an image, and {config.source} has one: name a "
            f".csv file whose rows "
            "hold several, divided by blanks"
        )
    return open_source(config)


def _trained_on(trained: Trained) -> str | None:
    """Return the fingerprint of the data that the run was trained on."""
    return trained.record.fingerprint if trained.record is not None else None


def _own(
    trained: Trained,
    config: DataConfig,
    part: str | None,
    progress: Callable[[int, int], None] | None,
) -> _Chosen:
    dataset = prepare(config, progress=progress)
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    name = part or "val"
    found = parts[name]
    if found is None:
        raise UserError(f"--part {name}: {config.source} has no {name} part; it has train, val")
    changed = dataset.fingerprint != _trained_on(trained)
    return _Chosen(
        data=config,
        name=name,
        part=found,
        classes=dataset.classes,
        left_out=dataset.errors,
        warnings=("the data have changed since the run, so its metrics may not come out again",)
        if changed
        else (),
    )


def _foreign(config: DataConfig, source: Source, part: str | None) -> _Chosen:
    name = part or next(name for name in ("val", "test", "train") if name in source.parts)
    if name not in source.parts:
        raise UserError(
            f"--part {name}: {config.source} has no {name} part; it has {choices(source.parts)}"
        )
    found = source.parts[name]
    if not len(found):
        raise UserError(f"{config.source} has no images in its {name} part")
    return _Chosen(
        data=config,
        name=name,
        part=found,
        classes=source.classes,
        left_out=source.left_out,
        warnings=tuple(note.text for note in source.notes),
    )


def _relabel(chosen: _Chosen, classes: tuple[str, ...]) -> Part:
    """Return the part with labels that are places in the network's classes, matched by name."""
    labels = chosen.part.labels
    several = labels.ndim == 2
    here = [
        chosen.classes[i]
        for i in (np.flatnonzero(labels.any(axis=0)) if several else np.unique(labels))
    ]
    unknown = [name for name in here if name not in classes]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        raise UserError(
            f"{chosen.data.source} has classes that the network does not know: "
            f"{', '.join(unknown[:3])}{more}; "
            f"it knows {known}"
        )
    if several:
        moved = np.zeros((len(labels), len(classes)), np.int64)
        for name in here:
            moved[:, classes.index(name)] = labels[:, chosen.classes.index(name)]
        return dataclasses.replace(chosen.part, labels=moved)
    place = np.array(
        [classes.index(name) if name in classes else -1 for name in chosen.classes], np.int64
    )
    return dataclasses.replace(chosen.part, labels=place[labels])
