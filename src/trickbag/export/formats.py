"""The formats by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.export.onnx_format import OnnxFormat
from trickbag.export.safetensors_format import SafetensorsFormat
from trickbag.export.torch_format import TorchFormat

if TYPE_CHECKING:
    from trickbag.export.format import Format

__all__ = ["FORMATS"]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {form.name: form for form in (OnnxFormat(), SafetensorsFormat(), TorchFormat())}
)
"""Every format that `trickbag export` writes."""
