"""The disk that a run takes, forecast from shapes before anything is computed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from trickbag.models.config import TimmConfig
from trickbag.models.zoo import build_network, raw_network
from trickbag.train.folder.image_scores import SCORED_BYTES
from trickbag.train.plan.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from trickbag.data.dataset import Dataset
    from trickbag.models.config import ModelConfig
    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import TeacherSpec, Trick

__all__ = ["RunBytes", "run_bytes"]

# What was measured beside the values themselves: names, places and checksums.
_WEIGHTS_TENSOR, _CHECKPOINT_TENSOR = 96, 320
_RUN = 16_000
"""Bytes of a run's recipe, result, environment and metadata."""
_EPOCH = 1_200
"""Bytes of an epoch: its line of metrics and its scalars for TensorBoard."""
_PREDICTION = 16
"""Bytes of a prediction beside the names of the image and of two classes."""


@dataclass(frozen=True, kw_only=True)
class RunBytes:
    """The bytes of a run's files.

    `weights` are those of all its files of weights at the end, `checkpoint` that of `last.ckpt`,
    `other` those of the other files: metrics, predictions, recipe, result, TensorBoard's events.
    `teacher_logits` are those of logits that are computed before training, by their teachers.
    """

    weights: int
    checkpoint: int
    other: int
    teacher_logits: Mapping[TeacherSpec, int]


def run_bytes(recipe: Recipe, dataset: Dataset) -> RunBytes:
    """Forecast the bytes of a run's files; nothing is computed, and nothing is written.

    Raises DoesNotApply and UserError as `resolve`.
    """
    plan, _ = resolve(recipe, dataset, seed=0)
    size = _network_size(plan.model)
    weights = size.state + size.tensors * _WEIGHTS_TENSOR
    copies = plan.training.optimizer.values_of_state
    averages = any(trick.overrides("average") for trick in recipe.tricks)
    tensors = size.tensors * (2 if averages else 1) + size.parameters * copies
    # With `best` the last epoch's weights lie beside those that are kept.
    files = 2 if plan.training.keep == "best" and plan.training.epochs > 1 else 1
    names = [len(name) for name in dataset.val.names]
    label = sum(map(len, dataset.classes)) / len(dataset.classes)
    return RunBytes(
        weights=weights * files,
        checkpoint=size.state * (2 if averages else 1)
        + size.trained * copies
        + tensors * _CHECKPOINT_TENSOR,
        other=_RUN
        + _EPOCH * plan.training.epochs
        + sum(names)
        + round(len(names) * (2 * label + _PREDICTION))
        + _image_scores(recipe, dataset),
        teacher_logits=_teacher_logits(recipe.tricks, dataset, plan.data.repeat_epochs),
    )


def _image_scores(recipe: Recipe, dataset: Dataset) -> int:
    if recipe.task.kind != "classification" or recipe.data.multi_label:
        return 0
    images = len(dataset.val) + (0 if dataset.test is None else len(dataset.test))
    return images * SCORED_BYTES


class _NetworkSize(NamedTuple):
    """The bytes of a network's state and of its parameters, and how many tensors these are."""

    state: int
    tensors: int
    trained: int
    parameters: int


@functools.lru_cache(maxsize=64)
def _network_size(config: ModelConfig) -> _NetworkSize:
    network = _on_shapes(config)
    state = list(network.state_dict().values())
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return _NetworkSize(
        state=sum(tensor.nbytes for tensor in state),
        tensors=len(state),
        trained=sum(parameter.nbytes for parameter in parameters),
        parameters=len(parameters),
    )


def _on_shapes(config: ModelConfig) -> nn.Module:
    """Build a network without memory for its weights, where that is possible."""
    try:
        with torch.device("meta"):
            if isinstance(config, TimmConfig):
                return build_network(config, seed=0)
            return raw_network(config)
    except Exception:  # some constructors read the values of their weights
        return build_network(config, seed=0)


def _teacher_logits(
    tricks: tuple[Trick, ...], dataset: Dataset, views: int | None
) -> dict[TeacherSpec, int]:
    files: dict[TeacherSpec, int] = {}
    for trick in tricks:
        spec = trick.teachers()
        if spec is None or spec.view == "online":
            continue
        top = min(spec.top, len(dataset.classes))
        # float16 logits and int32 classes; the rest in float32 for each teacher, and a checksum.
        row = len(spec.teachers) * (top * (2 + 4) + 4) + 4
        seen = (views or 1) if spec.view == "replay" else 1
        files[spec] = len(dataset.train) * row * seen
    return files
