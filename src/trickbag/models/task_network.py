"""The network of a task: a classifier, or a detector or segmenter around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn

from trickbag.models.task_config import DetectionConfig, SegmentationConfig
from trickbag.models.zoo import build_network

if TYPE_CHECKING:
    from trickbag.errors import Note
    from trickbag.models.config import ModelConfig
    from trickbag.models.task_config import TaskConfig

__all__ = ["backbone_of", "build_task_network", "keep_loaded", "network_notes"]


def build_task_network(task: TaskConfig, model: ModelConfig, *, seed: int) -> nn.Module:
    """Build the network of a task with initial values that depend on `seed` alone.

    `model` is the config of the classifier, or of the backbone; its `num_classes` are those of the
    data. Raises UserError as `build_network`, and for a backbone that the task cannot use.
    """
    if isinstance(task, DetectionConfig):
        from trickbag.models.detection import build_detector

        return build_detector(task, model, num_classes=model.num_classes, seed=seed)
    if isinstance(task, SegmentationConfig):
        from trickbag.models.segmentation import build_segmenter

        return build_segmenter(task, model, num_classes=model.num_classes, seed=seed)
    return build_network(model, seed=seed)


def backbone_of(network: nn.Module) -> nn.Module:
    """Return the network that tricks change: a classifier itself, or the backbone of another."""
    backbone = getattr(network, "backbone", None)
    return network if backbone is None else cast("nn.Module", backbone.network)


def keep_loaded(network: nn.Module) -> None:
    """Freeze what a task keeps of a backbone into which weights were loaded, in place."""
    keep = getattr(network, "keep_loaded", None)
    if keep is not None:
        keep()


def network_notes(network: nn.Module) -> list[Note]:
    """Return what was chosen when the network of a task was built; a classifier has no notes."""
    return [] if backbone_of(network) is network else list(getattr(network, "notes", ()))
