"""The mean of the probabilities of trained networks, and of the views of test-time augmentation.

Such a mean is a trained network itself: its logits are logarithms of the mean probabilities, so
that their softmax (with several labels an image their sigmoid) is the mean.

Shapes: N images, K classes, C channels, H and W pixels, P bytes of all crops of an image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from trickbag.data.class_names import matched
from trickbag.data.loading.position import CENTRE, Position
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import Note, UserError
from trickbag.evaluate.trained import Trained
from trickbag.evaluate.views import Crop, EvalView, views_of
from trickbag.models.config import TimmConfig
from trickbag.models.mismatch import some
from trickbag.models.timm.network import fixes_image_size
from trickbag.tasks.classification import only_finite
from trickbag.train.machine.device import evaluation_autocast, in_layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "AveragedNetwork",
    "PackedCrops",
    "averaged",
    "geometric_note",
    "require_no_folds",
    "split_notes",
]


@dataclass(frozen=True, kw_only=True)
class PackedCrops(Preprocessing):
    """The crops of an image for views of other sizes or places, behind each other in one array.

    The other settings are those of the first crop. What `crop` returns has the shape (1, 1, P).
    """

    packed: ClassVar[bool] = True
    crops: tuple[Crop, ...]

    @classmethod
    def packing(cls, crops: Sequence[Crop]) -> PackedCrops:
        """Pack crops of images that are read in the same way."""
        first = crops[0].preprocessing
        return cls(**{name: getattr(first, name) for name in _FIELDS}, crops=tuple(crops))

    @property
    def crop_shape(self) -> tuple[int, int, int]:
        """The shape of what `crop` returns, (1, 1, P)."""
        return 1, 1, sum(math.prod(crop.preprocessing.crop_shape) for crop in self.crops)

    def crop(self, image_HWC: NDArray[np.uint8], at: Position = CENTRE) -> NDArray[np.uint8]:
        """Return all crops of an image, uint8 (1, 1, P); each has a place of its own, not `at`."""
        crops = [crop.preprocessing.crop(image_HWC, crop.at) for crop in self.crops]
        return np.concatenate([pixels.reshape(-1) for pixels in crops])[None, None]

    def normalise(self, images_NCHW: Tensor) -> Tensor:
        """Return the crops (N, 1, 1, P) as float32; each network normalises its own."""
        return images_NCHW.to(torch.float32)

    def unpacked(self, images_N11P: Tensor) -> list[Tensor]:
        """Return each crop of images, (N, C, H, W), normalised."""
        shapes = [crop.preprocessing.crop_shape for crop in self.crops]
        parts = torch.split(images_N11P[:, 0, 0], [math.prod(shape) for shape in shapes], dim=1)
        return [
            crop.preprocessing.normalise(part.reshape(-1, *shape))
            for crop, part, shape in zip(self.crops, parts, shapes, strict=True)
        ]


_FIELDS = tuple(field.name for field in fields(Preprocessing))


@dataclass(frozen=True, kw_only=True)
class _Member:
    """A network of an average: the places of its views among the crops, and of the classes.

    views: the place of each view's crop, and the view. order: for each class of the average its
    place in the network's classes; None where they are the same. weight: that of its probabilities
    in a weighted average, else None.
    """

    trained: Trained
    views: tuple[tuple[int, EvalView], ...]
    order: tuple[int, ...] | None
    weight: float | None = None

    @property
    def log_weight(self) -> float | None:
        """The logarithm of the weight of each of its views; None where all count the same."""
        return None if self.weight is None else math.log(self.weight / len(self.views))


class AveragedNetwork(nn.Module):
    """The mean of the probabilities of networks over their views, as logits.

    It takes what `crops` packs; without `crops` the one normalised crop (N, C, H, W) that all views
    share.
    """

    def __init__(
        self, members: Sequence[_Member], crops: PackedCrops | None, *, multi_label: bool
    ) -> None:
        super().__init__()
        self.members, self.crops, self.multi_label = tuple(members), crops, multi_label
        self.networks = nn.ModuleList(member.trained.network for member in members)

    @property
    def views(self) -> int:
        """The number of views of an image, of all networks together."""
        return sum(len(member.views) for member in self.members)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K), float32; NaN for an image of which one network has such a logit."""
        crops = [images] if self.crops is None else self.crops.unpacked(images)
        total = None
        for member in self.members:
            for place, view in member.views:
                logits_NK = _logits(member, view.of(crops[place]))
                parts = _log_probabilities(logits_NK, multi_label=self.multi_label)
                if member.log_weight is not None:
                    parts = parts + member.log_weight
                total = parts if total is None else torch.logaddexp(total, parts)
        assert total is not None
        if self.members[0].log_weight is None:
            total = total - math.log(self.views)
        # With several labels: the logarithms of both probabilities of each class.
        return only_finite(total[0] - total[1] if self.multi_label else total)


def _logits(member: _Member, images_NCHW: Tensor) -> Tensor:
    """Return the logits (N, K) of a network in its precision, by the classes of the average.

    No temperature divides them: the predicted class is then that of the evaluation.
    """
    trained = member.trained
    with evaluation_autocast(trained.device, trained.autocast_dtype):
        logits_NK: Tensor = trained.network(in_layout(images_NCHW, trained.layout))
    logits_NK = only_finite(logits_NK.float())
    return logits_NK if member.order is None else logits_NK[:, list(member.order)]


def _log_probabilities(logits_NK: Tensor, *, multi_label: bool) -> Tensor:
    """Return logarithms of probabilities (N, K); with several labels (2, N, K), for it and not."""
    if multi_label:
        return torch.stack((logsigmoid(logits_NK), logsigmoid(-logits_NK)))
    return logits_NK.log_softmax(dim=1)


def averaged(
    trained: Sequence[Trained], tta: str | None = None, weights: Sequence[float] | None = None
) -> Trained:
    """Return the average of trained networks over the views of `tta`, as a trained network.

    Without `weights`, of any sum, all views of all networks count the same.
    One network without `tta` is returned as it is. Other networks may have any size and
    preprocessing, but they need the same classes, whose order may differ, and read the same
    channels of an image. The first one gives the order of the classes and the data. Raises
    UserError for networks that do not go together, and for an unknown name of `tta`.
    """
    first = trained[0]
    if len(trained) == 1 and tta is None:
        return first
    for other in trained[1:]:
        _require_alike(first, other)
    views = [
        views_of(tta, each.preprocessing, fixed_size=_has_fixed_size(each)) for each in trained
    ]
    shares: Sequence[float | None] = [None] * len(trained)
    if weights is not None:
        shares = [weight / sum(weights) for weight in weights]
    crops = list(dict.fromkeys(view.crop for each in views for view in each))
    place = {crop: i for i, crop in enumerate(crops)}
    members = [
        _Member(
            trained=each,
            views=tuple((place[view.crop], view) for view in of_one),
            order=_order(first, each),
            weight=share,
        )
        for each, of_one, share in zip(trained, views, shares, strict=True)
    ]
    packed = None if _is_plain(crops) else PackedCrops.packing(crops)
    network = AveragedNetwork(members, packed, multi_label=first.thresholds is not None)
    same = all(each.precision == first.precision for each in trained)
    return replace(
        first,
        network=network.eval(),
        preprocessing=packed or crops[0].preprocessing,
        precision=first.precision if same else "float32",
        layout="contiguous",
        thresholds=_mean_thresholds(trained),
        epoch=first.epoch if len(trained) == 1 else None,
        epochs=first.epochs if len(trained) == 1 else None,
        temperature=_mean_temperature(trained),
        members=tuple(trained),
        weights=None if weights is None else tuple(share or 0.0 for share in shares),
        tta=tta,
        notes=tuple(
            dict.fromkeys([note for each in trained for note in each.notes] + _notes(trained))
        ),
    )


def _is_plain(crops: Sequence[Crop]) -> bool:
    """Tell whether there is one crop, and it is that of a validation."""
    return len(crops) == 1 and crops[0].at == CENTRE


def _has_fixed_size(trained: Trained) -> bool:
    model = trained.model
    return isinstance(model, TimmConfig) and fixes_image_size(model.name)


def _require_alike(first: Trained, other: Trained) -> None:
    """Raise UserError unless two networks have the same classes, and read images in one way."""
    pair = f"{first.path} and {other.path}"
    if (first.thresholds is None) != (other.thresholds is None):
        raise UserError(
            f"{pair} cannot be averaged: one gives an image one label, the other any number",
            "average runs of one kind",
        )
    if first.preprocessing.pixels != other.preprocessing.pixels:
        raise UserError(
            f"{pair} cannot be averaged: they take other channels or pixel ranges of an image",
            "average runs with the same data.channels and data.pixel_range",
        )
    known = matched(other.classes, first.classes, fold=False)
    more = [name for name in other.classes if name not in known]
    less = sorted(set(first.classes) - set(known.values()))
    if more or less:
        parts = [
            *([f"the first has no {some(more)}"] if more else []),
            *([f"the second has no {some(less)}"] if less else []),
        ]
        raise UserError(
            f"{pair} cannot be averaged, for their classes differ: {'; '.join(parts)}",
            "average runs that were trained for the same classes",
        )


def _order(first: Trained, other: Trained) -> tuple[int, ...] | None:
    """Return the place of each class of the first network in those of another."""
    known = matched(other.classes, first.classes, fold=False)
    place = {known[name]: i for i, name in enumerate(other.classes)}
    order = tuple(place[name] for name in first.classes)
    return None if order == tuple(range(len(order))) else order


def _mean_thresholds(trained: Sequence[Trained]) -> tuple[float, ...] | None:
    first = trained[0]
    if first.thresholds is None or len(trained) == 1:
        return first.thresholds
    rows = []
    for each in trained:
        assert each.thresholds is not None  # `_require_alike`
        order = _order(first, each) or range(len(first.classes))
        rows.append([each.thresholds[i] for i in order])
    return tuple(float(value) for value in np.mean(rows, axis=0))


def _mean_temperature(trained: Sequence[Trained]) -> float | None:
    """Return the geometric mean of the temperatures; None if a network has none."""
    temperatures = [each.temperature for each in trained if each.temperature is not None]
    if len(temperatures) < len(trained):
        return None
    return math.exp(sum(map(math.log, temperatures)) / len(temperatures))


def geometric_note(trained: Sequence[Trained]) -> Note:
    """Say that the temperature of an average is that of its networks."""
    of = "the network" if len(trained) == 1 else "its networks"
    reason = (
        f"the confidences of this average are calibrated by the temperature of {of}, which was "
        "not fitted to the average"
    )
    return Note("calibration", None, reason)


_SPLIT = (
    "val_fraction",
    "split_seed",
    "folds",
    "fold",
    "inner_folds",
    "inner_fold",
    "val_source",
    "parts",
    "group_column",
    "duplicates",
)
"""The settings of the data that decide which images are held back."""


def _notes(trained: Sequence[Trained]) -> list[Note]:
    """Return what a person should know of an average."""
    first = trained[0]
    notes = [] if _mean_temperature(trained) is None else [geometric_note(trained)]
    if len(trained) == 1:
        return notes
    if len({each.precision for each in trained}) > 1:
        precisions = ", ".join(f"{each.path} in {each.precision}" for each in trained)
        notes.append(Note("choice", None, f"the networks of the average compute {precisions}"))
    if first.thresholds is not None:
        reason = "the thresholds of the average are the means of those of its networks"
        notes.append(Note("choice", None, reason))
    return notes


def split_notes(trained: Trained) -> list[Note]:
    """Say which networks of an average may have been trained on the first run's validation images.

    They are those of other data, or of another split of them.
    """
    first, *others = trained.members or (trained,)
    names = [str(each.path) for each in others if not _holds_back_alike(first, each)]
    if not names:
        return []
    reason = (
        f"{some(names)} may have been trained on the validation images of {first.path}: not of the "
        "same data, or not split in the same way"
    )
    return [Note("data", None, reason)]


def require_no_folds(trained: Trained) -> None:
    """Raise UserError where networks of an average were trained on the first one's validation part.

    They are known to be where they are networks of other folds of the same division.
    """
    first, *others = trained.members or (trained,)
    for other in others:
        division, fold = _division(first)
        if division is not None and _division(other)[0] == division and _division(other)[1] != fold:
            raise UserError(
                f"{other.path} was trained on the validation images of {first.path}: they are "
                "networks of two folds",
                "give other images with --data SOURCE, or --part test; the metrics of the "
                "predictions out of fold stand in the result.json of the cross-validation",
            )


def _division(trained: Trained) -> tuple[tuple[object, ...] | None, int]:
    """Return what identifies the folds of a network's data, None without any, and its fold."""
    record = trained.record
    if record is None or record.fingerprint is None:
        return None, 0
    try:
        data = record.data
    except UserError:
        return None, 0
    if data.folds is None:
        return None, 0
    others = [getattr(data, name) for name in _SPLIT if name not in ("fold", "folds")]
    return (record.fingerprint, data.folds, *others), data.fold


def _holds_back_alike(first: Trained, other: Trained) -> bool:
    """Tell whether two runs are known to have the same validation images."""
    if first.record is None or other.record is None or first.record.fingerprint is None:
        return False
    if first.record.fingerprint != other.record.fingerprint:
        return False
    try:
        data: list[Any] = [first.record.data, other.record.data]
    except UserError:
        return False
    return all(getattr(data[0], name) == getattr(data[1], name) for name in _SPLIT)
