"""Networks that segment: a dilated backbone, and a head that classifies its pixels."""

from __future__ import annotations

from trickbag.models.segmentation.segmenter import Segmenter, build_segmenter

__all__ = ["Segmenter", "build_segmenter"]
