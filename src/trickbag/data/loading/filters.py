"""Pillow's filters by the names of `data.interpolation`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from PIL import Image

from trickbag.data.config import Interpolation

__all__ = ["FILTERS"]

FILTERS: Mapping[Interpolation, Image.Resampling] = MappingProxyType(
    {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
)
"""Each widens when it shrinks an image ("antialias")."""
