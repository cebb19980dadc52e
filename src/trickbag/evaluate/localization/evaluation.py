"""Weakly supervised localization: boxes of heat maps against the boxes of objects.

A network that was trained on labels alone is judged by where it sees them (Zhou et al. 2016; Choe
et al. 2020). A map is computed for each class that an image shows. Shapes: N images of a batch, P
maps of a batch, T thresholds, K classes, C channels, H and W pixels.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from trickbag.data.class_names import matched
from trickbag.data.cores import usable_cores
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.size import height_width
from trickbag.data.source import DataError
from trickbag.errors import Note, RunFailed, UserError
from trickbag.evaluate.localization.activation_maps import CamUndefined
from trickbag.evaluate.localization.annotations import read_annotations
from trickbag.evaluate.localization.heat_maps import (
    FIXED_THRESHOLDS,
    maps_of,
    on_image,
    require_method,
)
from trickbag.evaluate.localization.objects import CroppedObjects, cropped_objects
from trickbag.evaluate.localization.outcome import Localization, LocatedClass, MapTally
from trickbag.metrics.localization import agreement
from trickbag.train.machine.isolation import isolated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.evaluate.localization.activation_maps import Method
    from trickbag.evaluate.localization.annotations import AnnotatedImage, Annotations
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained

__all__ = ["evaluate_localization", "localize"]

_MAX_BAD_FRACTION = 0.1
"""The default of `data.max_bad_fraction`."""

_NAMED = 5
"""The most names that an error lists."""


def evaluate_localization(
    trained: Trained,
    directory: str | Path,
    *,
    method: Method | None = None,
    part: str | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationRecord:
    """Judge where a trained network sees the classes of annotated images; see `localize`."""
    return localize(
        trained,
        directory,
        method=method,
        part=part,
        limit=limit,
        batch_size=batch_size,
        progress=progress,
    ).record


def localize(
    trained: Trained,
    directory: str | Path,
    *,
    method: Method | None = None,
    part: str | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Localization:
    """Judge where a trained network sees the classes of annotated images, with pictures.

    `directory` is that of `read_annotations`, `part` names one of its lists. `method` is by default
    CAM where it is defined for the network, else Grad-CAM. Objects are matched to
    the network's classes by their names; others are left out, and counted. With `limit` at most so
    many images are evaluated, spread over the folder. Computes in float32. Raises UserError for a
    folder that cannot be used, or a network for which `method` is not defined, and RunFailed if
    more than a tenth of the images cannot be used, or no image has finite logits.
    """
    if method is not None:
        require_method(method)
    annotations = read_annotations(directory, part)
    names = _known_names(annotations, trained.classes)
    chosen, notes = (method, []) if method is not None else _chosen_method(trained)
    tally = MapTally(
        class_of=names,
        threshold=FIXED_THRESHOLDS[chosen],
        errors=list(annotations.errors),
        box_errors=list(annotations.box_errors),
    )
    images = _known_images(annotations, tally)
    if limit is not None and len(images) > limit:
        reason = f"{limit:,} of {len(images):,} images are evaluated"
        notes.append(Note("data", None, f"{annotations.folder}: {reason}"))
        # Spread: the images of a folder are often in the order of their classes.
        images = [images[i] for i in np.linspace(0, len(images) - 1, limit).astype(int)]
    size = batch_size or trained.batch_size
    threads = torch.get_num_threads() if trained.plan is None else trained.plan.threads
    with isolated(threads, trained.device.type):
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            _add_batch(trained, list(_read(batch, trained, tally)), chosen, tally)
            if progress is not None:
                progress(start + len(batch), len(images))
    _require_mostly_used(tally, len(images), annotations)
    return Localization.of(tally, trained, annotations, method=chosen, limit=limit, notes=notes)


def _chosen_method(trained: Trained) -> tuple[Method, list[Note]]:
    """Return CAM where it is defined for the network, else Grad-CAM with a note."""
    height, width = height_width(trained.preprocessing.image_size)
    # Noise: for an image of a single colour, poolings that differ can agree.
    noise = np.random.default_rng(0).integers(
        0, 256, (1, trained.preprocessing.count, height, width), np.uint8
    )
    try:
        maps_of(trained, noise, _first_class, "cam")
    except CamUndefined as error:
        return "grad-cam", [Note("choice", None, f"{error.reason}: the maps are those of Grad-CAM")]
    return "cam", []


def _first_class(logits_NK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    first = torch.zeros(1, dtype=torch.long, device=logits_NK.device)
    return first, first


def _known_names(annotations: Annotations, classes: tuple[str, ...]) -> dict[str, str]:
    """Return the network's class of each name of an object that means one."""
    folder = annotations.folder
    if not annotations.images:
        first = annotations.errors[0]
        raise RunFailed(
            f"none of the annotations of {folder} can be used, such as {first.file} "
            f"({first.reason})",
            "repair them",
        )
    names = list(dict.fromkeys(name for image in annotations.images for name in image.names))
    known = matched(names, classes, fold=False)
    if not known:
        raise UserError(
            f"{folder} has no object of a class that the network knows: its objects are "
            f"{_some(names)}; the network knows {_some(classes)}",
            "name the objects as the classes",
        )
    return known


def _known_images(annotations: Annotations, tally: MapTally) -> list[AnnotatedImage]:
    """Return the images with an object of a class that the network knows; count the others."""
    for image in annotations.images:
        for name in image.names:
            if name not in tally.class_of:
                tally.unknown[name] = tally.unknown.get(name, 0) + 1
    images = [
        image for image in annotations.images if any(name in tally.class_of for name in image.names)
    ]
    tally.others = len(annotations.images) - len(images)
    return images


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _read(
    images: Sequence[AnnotatedImage], trained: Trained, tally: MapTally
) -> Iterator[CroppedObjects]:
    """Read and crop images; those that cannot be used are added to the errors."""

    def read(image: AnnotatedImage) -> CroppedObjects | DataError:
        try:
            return cropped_objects(image, trained.preprocessing)
        except DecodeError as error:
            return DataError(image.name, str(error))

    with ThreadPoolExecutor(min(8, usable_cores()), thread_name_prefix="localize") as pool:
        for result in pool.map(read, images):
            if isinstance(result, DataError):
                tally.errors.append(result)
                tally.unread += 1
            elif tally.count(result):
                yield result


def _add_batch(
    trained: Trained, images: Sequence[CroppedObjects], method: Method, tally: MapTally
) -> None:
    """Compute the maps of a batch, one for each class of an image, and add their outcome."""
    if not images:
        return
    classes = [tally.classes(image) for image in images]
    index = {name: k for k, name in enumerate(trained.classes)}
    places_P = torch.tensor([n for n, names in enumerate(classes) for _ in names])
    classes_P = torch.tensor([index[name] for names in classes for name in names])
    places_P, classes_P = places_P.to(trained.device), classes_P.to(trained.device)
    crops_NCHW = np.stack([image.crop for image in images])
    maps_PHW, logits_NK = maps_of(trained, crops_NCHW, lambda _: (places_P, classes_P), method)
    maps = iter(maps_PHW)
    for image, names, row in zip(images, classes, logits_NK, strict=True):
        predicted = trained.classes[int(row.argmax())] if np.isfinite(row).all() else None
        tally.add([_located(image, name, next(maps), predicted, tally) for name in names])


def _located(
    image: CroppedObjects,
    label: str,
    map_HW: NDArray[np.float32],
    predicted: str | None,
    tally: MapTally,
) -> LocatedClass:
    values = on_image(map_HW, image.visible)
    boxes = image.boxes[[tally.class_of.get(name) == label for name in image.names]]
    largest_T, best_T = agreement(values, boxes)
    return LocatedClass(
        image=image.image.name,
        label=label,
        predicted=predicted,
        crop=image.crop,
        values=values,
        boxes=boxes,
        largest=largest_T,
        best=best_T,
    )


def _require_mostly_used(tally: MapTally, images: int, annotations: Annotations) -> None:
    """Raise RunFailed where too many images are of no use, or none tells anything."""
    folder, total = annotations.folder, images + len(annotations.errors)
    if len(tally.errors) > _MAX_BAD_FRACTION * total:
        file, reason = tally.errors[0]
        raise RunFailed(
            f"{len(tally.errors):,} of {total:,} images of {folder} cannot be used, such as {file} "
            f"({reason}): more than {100 * _MAX_BAD_FRACTION:g} %",
            "repair or remove them",
        )
    if not tally.images:
        raise RunFailed(
            f"the crop of validation shows no object of the {images:,} images of {folder}",
            "train with data.eval_crop=1 or data.resize=letterbox, which show the whole image",
        )
    if tally.not_finite == tally.images:
        raise RunFailed(
            f"the network gives logits that are not finite for all {tally.images:,} of the images",
            "give the weights of another run",
        )
