"""Trained networks that a run asks about its images: a run's folder, a weights file, or timm's published weights.

Shapes: N images, H and W pixels, K classes of the run.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import DoesNotApply, UserError
from trickbag.models.config import TimmConfig
from trickbag.models.pretrained import load_pretrained, published_normalisation
from trickbag.models.weights import load_with_metadata, weights_digest
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Teacher", "TeacherNetwork", "teacher_id"]

_TIMM = "timm:"


def teacher_id(spec: str) -> str:
    """Return what tells a teacher's weights from others: the hash of the file, or the name under which timm has them.

    Raises UserError where there is no such teacher.
    """
    if spec.startswith(_TIMM):
        published = _published(spec)
        return f"{_TIMM}{published.architecture}.{published.tag}" if published.tag else spec
    with _named(spec):
        return weights_digest(_path(spec))


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """What is known of a trained network before its weights are loaded.

    `spec` is how a user named it, `id` tells its weights from others, `classes` are in the order of
    its logits. `several` says that it gives several labels an image, each by a sigmoid of its own.
    """

    spec: str
    id: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    several: bool = False

    @classmethod
    def of(cls, spec: str) -> Teacher:
        """Find a run's folder, a weights file that a run wrote, or `timm:NAME`; nothing is fetched yet.

        Raises UserError where there is no such network, or where it does not say its classes and
        preprocessing.
        """
        if spec.startswith(_TIMM):
            return cls(
                spec=spec,
                id=teacher_id(spec),
                classes=_synsets(spec),
                preprocessing=_as_published(spec),
            )
        weights_id = teacher_id(spec)
        with _named(spec):
            metadata = WeightsMetadata.read(_path(spec))
        return cls(
            spec=spec,
            id=weights_id,
            classes=metadata.classes,
            preprocessing=metadata.preprocessing,
            several=metadata.multi_label,
        )

    def require_labels(self, several: bool) -> None:
        """Raise DoesNotApply unless it gives as many labels an image as the data have: several, or
        one."""
        if self.several == several:
            return
        if several:
            raise DoesNotApply(
                f"the teacher {self.spec} says which one class an image shows, and these images "
                f"have several labels. "
                "Take a run on data.multi_label=true as the teacher, or distillation out: "
                "--without distillation"
            )
        raise DoesNotApply(
            f"the teacher {self.spec} gives several labels an image, each by a sigmoid of its own: "
            f"it does not say "
            "which one class an image shows. Take a teacher that was trained with one label an "
            "image"
        )

    def places(self, classes: Sequence[str]) -> tuple[int, ...]:
        """Return where among its logits each of the run's classes is; DoesNotApply where it does
        not know one."""
        place = {name: i for i, name in enumerate(self.classes)}
        unknown = [name for name in classes if name not in place]
        if unknown:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            known = ", ".join(self.classes[:6]) + (", ..." if len(self.classes) > 6 else "")
            raise DoesNotApply(
                f"the teacher {self.spec} does not know the classes "
                f"{', '.join(unknown[:3])}{more}; it knows {known}. "
                "Train a teacher on these data, or take distillation out: --without distillation"
            )
        return tuple(place[name] for name in classes)

    def network(self) -> nn.Module:
        """Build the network with its weights, in evaluation mode; timm's come from its cache or
        over the network."""
        if not self.spec.startswith(_TIMM):
            return load_with_metadata(_path(self.spec))[0]
        config = TimmConfig(name=self.spec.removeprefix(_TIMM), num_classes=len(self.classes))
        network = build_network(config, seed=0)
        load_pretrained(network, config, instead="a trained run as the teacher: teacher=RUN")
        return network.eval()


class TeacherNetwork(nn.Module):
    """A teacher that takes images as they are prepared for the run and answers with the logits of the run's classes.

    The images' mean and deviation are exchanged for those that the teacher was trained with, and
    they are scaled to its size where that is another one (bilinear, with the filter widened when
    shrinking). It never trains.
    """

    places: Tensor

    def __init__(self, teacher: Teacher, classes: Sequence[str], given: Preprocessing) -> None:
        super().__init__()
        own = teacher.preprocessing
        self.size = own.image_size
        channels = zip(given.mean, given.std, own.mean, own.std, strict=True)
        # (x s + m - m') / s' of every channel; nothing where the two agree.
        self.scales = tuple((s / own_s, (m - own_m) / own_s) for m, s, own_m, own_s in channels)
        if (given.mean, given.std) == (own.mean, own.std):
            self.scales = ()
        places = teacher.places(classes)
        self.every = places == tuple(range(len(teacher.classes)))
        self.network = teacher.network().requires_grad_(False)
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever is asked for."""
        return super().train(False)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Return logits (N, K) float32."""
        images = images_N3HW
        if self.scales:
            images = torch.stack(
                [images[:, c] * scale + shift for c, (scale, shift) in enumerate(self.scales)],
                dim=1,
            )
        if images.shape[-1] != self.size:
            shape = (self.size, self.size)
            images = functional.interpolate(
                images, shape, mode="bilinear", align_corners=False, antialias=True
            )
        logits: Tensor = self.network(images)
        return (logits if self.every else logits[:, self.places]).float()


def _path(spec: str) -> Path:
    return Path(spec).expanduser()


@contextlib.contextmanager
def _named(spec: str) -> Iterator[None]:
    """Say in what is wrong with a teacher's files that they are the teacher's."""
    try:
        yield
    except UserError as error:
        raise UserError(f"teacher {spec}: {error}") from error


def _published(spec: str) -> Any:
    """Return timm's `PretrainedCfg` of its weights, which has no types."""
    from timm import is_model
    from timm.models import get_pretrained_cfg, is_model_pretrained

    name = spec.removeprefix(_TIMM)
    if not is_model(name):
        raise UserError(
            f"teacher {spec}: timm has no such network; timm.list_pretrained() lists those with "
            f"weights"
        )
    if not is_model_pretrained(name):
        raise UserError(
            f"teacher {spec}: timm publishes no weights of it; timm.list_pretrained() lists those "
            f"it does"
        )
    return get_pretrained_cfg(name)


def _synsets(spec: str) -> tuple[str, ...]:
    """Name the classes of timm's weights: the WordNet numbers of ImageNet, such as n01440764."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    number = _published(spec).num_classes
    subset = infer_imagenet_subset({"num_classes": number})
    if subset is None:
        raise UserError(
            f"teacher {spec}: timm has no names of its {number} classes; take one trained on "
            f"ImageNet"
        )
    return tuple(ImageNetInfo(subset).label_names())  # type: ignore[no-untyped-call]  # timm has no types


def _as_published(spec: str) -> Preprocessing:
    import math

    published = _published(spec)
    normalisation = published_normalisation(TimmConfig(name=spec.removeprefix(_TIMM)))
    assert normalisation is not None  # it has weights
    size = int(published.input_size[-1])
    mean, std = normalisation
    return Preprocessing(
        image_size=size, resize=math.floor(size / published.crop_pct), mean=mean, std=std
    )
