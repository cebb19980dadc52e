"""Detectors: Faster R-CNN on the feature maps of a network.

Importing this package loads no torch. A function below is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.models.detection.config import DetectionConfig

if TYPE_CHECKING:
    from trickbag.models.detection.detector import Detections, Detector, build_detector

__all__ = ["DetectionConfig", "Detections", "Detector", "build_detector"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # torchvision takes seconds to import.
    from trickbag.models.detection import detector

    return getattr(detector, name)
