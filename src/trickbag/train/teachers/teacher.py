"""Teachers of a distillation: a run's folder, a weights file, or weights that timm publishes.

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
from trickbag.data.size import height_width
from trickbag.errors import DoesNotApply, UserError
from trickbag.models.config import TimmConfig
from trickbag.models.pretrained import load_pretrained, published_classes
from trickbag.models.published import published
from trickbag.models.task_config import ClassificationConfig
from trickbag.models.weights import load_with_metadata, weights_digest
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network
from trickbag.paths import expanded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Teacher", "TeacherNetwork", "teacher_id"]

_TIMM = "timm:"


def teacher_id(spec: str) -> str:
    """Return the id of a teacher's weights: the hash of the file, or timm's name of them.

    Raises UserError if there is no such teacher.
    """
    if spec.startswith(_TIMM):
        config = _published(spec)
        return f"{_TIMM}{config.architecture}.{config.tag}" if config.tag else spec
    with _named(spec):
        return weights_digest(_path(spec))


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """The properties of a teacher, known before its weights are loaded.

    `spec` is the name that a user gave, `id` identifies the weights, `classes` are in the order of
    the logits. With `multi_label` it gives an image several labels, each by a sigmoid of its own.
    """

    spec: str
    id: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    multi_label: bool = False

    @classmethod
    def of(cls, spec: str) -> Teacher:
        """Describe the network of a run's folder, of a weights file of a run, or `timm:NAME`.

        Nothing is downloaded yet. Raises UserError if there is no such network, if its file lacks
        the classes or the preprocessing, and for a network of another task.
        """
        if spec.startswith(_TIMM):
            return cls(
                spec=spec,
                id=teacher_id(spec),
                classes=_synsets(spec),
                preprocessing=_preprocessing(spec),
            )
        weights_id = teacher_id(spec)
        with _named(spec):
            metadata = WeightsMetadata.read(_path(spec))
        if not isinstance(metadata.task, ClassificationConfig):
            raise UserError(
                f"the teacher {spec} is a network of {metadata.task.kind}",
                "give one that classifies images",
            )
        return cls(
            spec=spec,
            id=weights_id,
            classes=metadata.classes,
            preprocessing=metadata.preprocessing,
            multi_label=metadata.multi_label,
        )

    def require_labels(self, multi_label: bool) -> None:
        """Raise DoesNotApply unless teacher and data agree in one label an image or several."""
        if self.multi_label == multi_label:
            return
        if multi_label:
            raise DoesNotApply(
                f"the teacher {self.spec} says which one class an image shows, and these images "
                "have several labels",
                "Take a run on data.multi_label=true as the teacher, or distillation out: "
                "--without distillation",
            )
        raise DoesNotApply(
            f"the teacher {self.spec} gives several labels an image, each by a sigmoid of its own: "
            "it does not say which one class an image shows",
            "Take a teacher that was trained with one label an image",
        )

    def require_channels(self, count: int) -> None:
        """Raise DoesNotApply unless the teacher takes images of so many channels."""
        if self.preprocessing.count == count:
            return
        raise DoesNotApply(
            f"the teacher {self.spec} takes images of {self.preprocessing.count} channels, and "
            f"these have {count} (data.channels)",
            "Train a teacher on these data, or take distillation out: --without distillation",
        )

    def places(self, classes: Sequence[str]) -> tuple[int, ...]:
        """Return the index of each of the run's classes among the logits.

        Raises DoesNotApply if the teacher does not know one of them.
        """
        index = {name: i for i, name in enumerate(self.classes)}
        unknown = [name for name in classes if name not in index]
        if unknown:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            names = ", ".join(self.classes[:6]) + (", ..." if len(self.classes) > 6 else "")
            raise DoesNotApply(
                f"the teacher {self.spec} does not know the classes "
                f"{', '.join(unknown[:3])}{more}; it knows {names}",
                "Train a teacher on these data, or take distillation out: --without distillation",
            )
        return tuple(index[name] for name in classes)

    def network(self) -> nn.Module:
        """Build the network with its weights, in evaluation mode.

        Weights of timm come from its cache, or are downloaded.
        """
        if not self.spec.startswith(_TIMM):
            return load_with_metadata(_path(self.spec))[0]
        config = TimmConfig(name=self.spec.removeprefix(_TIMM), num_classes=len(self.classes))
        network = build_network(config, seed=0)
        load_pretrained(network, config, instead="a trained run as the teacher: teacher=RUN")
        return network.eval()


class TeacherNetwork(nn.Module):
    """A teacher that takes the images of a run and gives the logits of the run's classes.

    `given` is how the images are prepared. Their normalisation is changed to the teacher's, and
    they are resized to its size (with its interpolation and with antialiasing). It never trains.
    """

    places: Tensor

    def __init__(self, teacher: Teacher, classes: Sequence[str], given: Preprocessing) -> None:
        super().__init__()
        expected = teacher.preprocessing
        self.size = height_width(expected.image_size)
        self.interpolation = expected.interpolation
        channels = zip(given.mean, given.std, expected.mean, expected.std, strict=True)
        # From (x - m) / s to (x - m') / s' in one multiplication and one addition a channel.
        self.scales = tuple(
            (std / new_std, (mean - new_mean) / new_std)
            for mean, std, new_mean, new_std in channels
        )
        if (given.mean, given.std) == (expected.mean, expected.std):
            self.scales = ()
        places = teacher.places(classes)
        self.same_classes = places == tuple(range(len(teacher.classes)))
        self.network = teacher.network().requires_grad_(False)
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, also when the network around it is set to train."""
        return super().train(False)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits (N, K) float32."""
        images = images_NCHW
        if self.scales:
            images = torch.stack(
                [images[:, c] * scale + shift for c, (scale, shift) in enumerate(self.scales)],
                dim=1,
            )
        if images.shape[-2:] != self.size:
            images = functional.interpolate(
                images, self.size, mode=self.interpolation, align_corners=False, antialias=True
            )
        logits: Tensor = self.network(images)
        return (logits if self.same_classes else logits[:, self.places]).float()


def _path(spec: str) -> Path:
    return expanded(spec)


@contextlib.contextmanager
def _named(spec: str) -> Iterator[None]:
    """Name the teacher in errors about its files."""
    try:
        yield
    except UserError as error:
        raise UserError(f"teacher {spec}: {error}") from error


def _published(spec: str) -> Any:
    """Return timm's `PretrainedCfg` of a teacher's weights, which has no types."""
    from timm import is_model
    from timm.models import get_pretrained_cfg, is_model_pretrained

    name = spec.removeprefix(_TIMM)
    if not is_model(name):
        raise UserError(
            f"teacher {spec}: timm has no such network",
            "timm.list_pretrained() lists those with weights",
        )
    if not is_model_pretrained(name):
        raise UserError(
            f"teacher {spec}: timm publishes no weights of it",
            "timm.list_pretrained() lists those it does",
        )
    return get_pretrained_cfg(name)


def _synsets(spec: str) -> tuple[str, ...]:
    """Return the classes of timm's weights: WordNet numbers of ImageNet, such as n01440764."""
    config = _published(spec)
    names = published_classes(spec.removeprefix(_TIMM))
    if names is None:
        raise UserError(
            f"teacher {spec}: timm has no names of its {config.num_classes} classes",
            "take one trained on ImageNet",
        )
    return names


def _preprocessing(spec: str) -> Preprocessing:
    """Return timm's own preprocessing of a teacher that `_published` knows."""
    of_timm = published(spec.removeprefix(_TIMM))
    assert of_timm is not None
    return of_timm.preprocessing
