"""Teachers: networks of random weights, in files like those that a run writes."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from tests.builders.images import CLASSES
from trickbag.data.config import INTERPOLATION, MEAN, DataConfig, Interpolation
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.models.config import TimmConfig
from trickbag.models.weights import save_weights
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network

__all__ = ["passing_teacher", "teacher_file"]


def teacher_file(
    path: Path,
    *,
    classes: tuple[str, ...] = CLASSES,
    size: int = 16,
    seed: int = 0,
    mean: tuple[float, float, float] = MEAN,
    interpolation: Interpolation = INTERPOLATION,
    eval_crop: float = 1.0,
    sharp: float = 5.0,
    thresholds: list[float] | None = None,
) -> Path:
    """Write a network for the classes of `shape_folder`; `sharp` multiplies the logits."""
    import torch

    config = TimmConfig(name="test_resnet", num_classes=len(classes))
    network = build_network(config, seed=seed)
    with torch.no_grad():
        network.get_classifier().weight.mul_(sharp)  # type: ignore[operator]  # of timm's networks
    data = DataConfig(mean=mean, eval_crop=eval_crop, interpolation=interpolation)
    metadata = WeightsMetadata(
        model=config,
        classes=classes,
        preprocessing=Preprocessing.of(data, size),
        thresholds=None if thresholds is None else tuple(thresholds),
    )
    save_weights(network, path, metadata)
    return path


def passing_teacher() -> Path:
    """Write a teacher that is there as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="trickbag-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return teacher_file(folder / "teacher.safetensors")
