"""A network as an exported program of torch (`.pt2`), which torch runs without this package."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag.data.size import height_width
from trickbag.export.format import Format

if TYPE_CHECKING:
    from torch import nn

    from trickbag.data.size import Size
    from trickbag.export.format import Logits
    from trickbag.models.weights_metadata import WeightsMetadata

__all__ = ["METADATA_FILE", "TorchFormat"]

METADATA_FILE = "trickbag.json"
"""The name of the metadata among the extra files of the program."""


@dataclass(frozen=True)
class TorchFormat(Format):
    """`torch.export.save` of a graph for any number of images; the metadata is an extra file.

    `torch.export.load` reads it. The graph divides its logits by the temperature of the metadata,
    if there is one. Such a file can run the code of whoever wrote it: load only files
    of your own, and give safetensors to others.
    """

    name: ClassVar[str] = "torch"
    suffix: ClassVar[str] = ".pt2"
    is_graph: ClassVar[bool] = True

    def encode(self, network: nn.Module, metadata: WeightsMetadata, image_size: Size) -> bytes:
        """Trace the network; return the file."""
        import torch

        # Two images: torch.export takes a size of 1 for a constant, not for a number of images.
        example = torch.zeros(2, metadata.preprocessing.count, *height_width(image_size))
        program = torch.export.export(
            network, (example,), dynamic_shapes=({0: torch.export.Dim("images")},)
        )
        file = io.BytesIO()
        torch.export.save(program, file, extra_files={METADATA_FILE: metadata.to_json()})
        return file.getvalue()

    def decode(self, data: bytes) -> Logits:
        """Load the program; it must be one that `encode` returned in this process."""
        import torch

        with warnings.catch_warnings():
            # Torch 2.11 warns about the way in which it reads the file itself.
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            logits: Logits = torch.export.load(io.BytesIO(data)).module()
        return logits
