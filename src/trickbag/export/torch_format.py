"""A network as an exported program of torch (`.pt2`), which runs where torch is, without this
package."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trickbag.export.format import Format

if TYPE_CHECKING:
    from torch import nn

    from trickbag.export.format import Logits

__all__ = ["DESCRIPTION", "TorchFormat"]

DESCRIPTION = "trickbag.json"
"""The name of the description among the extra files of the program."""


@dataclass(frozen=True)
class TorchFormat(Format):
    """`torch.export.save` of a graph for any number of images, with its description as an extra file.

    `torch.export.load` reads it; like every file of that kind it can run code of whoever made it,
    so that one should load only one's own. Weights for others are better given as safetensors.
    """

    name: ClassVar[str] = "torch"
    suffix: ClassVar[str] = ".pt2"

    def encode(self, network: nn.Module, description: Mapping[str, Any], image_size: int) -> bytes:
        """Trace the network and return the file."""
        import torch

        example = torch.zeros(2, 3, image_size, image_size)
        program = torch.export.export(
            network, (example,), dynamic_shapes=({0: torch.export.Dim("images")},)
        )
        file = io.BytesIO()
        text = json.dumps(description, sort_keys=True, allow_nan=False)
        torch.export.save(program, file, extra_files={DESCRIPTION: text})
        return file.getvalue()

    def decode(self, data: bytes) -> Logits:
        """Load the program; only ever called with what `encode` made in this process."""
        import warnings

        import torch

        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="The given buffer is not writable"
            )  # torch 2.11's own reading
            logits: Logits = torch.export.load(io.BytesIO(data)).module()
        return logits
