"""A network as a safetensors file: weights and their description, which `trickbag.models.load`
rebuilds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trickbag.export.format import Format

if TYPE_CHECKING:
    from torch import nn

    from trickbag.export.format import Logits

__all__ = ["SafetensorsFormat"]


@dataclass(frozen=True)
class SafetensorsFormat(Format):
    """Weights in float32, with network, classes and preprocessing as JSON under the metadata key
    `trickbag`."""

    name: ClassVar[str] = "safetensors"
    suffix: ClassVar[str] = ".safetensors"

    def encode(self, network: nn.Module, description: Mapping[str, Any], image_size: int) -> bytes:
        """Return the file; the same weights give the same bytes."""
        from trickbag.models.weights import weights_bytes

        return weights_bytes(network, description)

    def decode(self, data: bytes) -> Logits:
        """Rebuild the network from the file alone."""
        from safetensors.torch import load

        from trickbag.models.config import read_model
        from trickbag.models.zoo import build_network

        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        network = build_network(
            read_model(json.loads(header["__metadata__"]["trickbag"])["model"]), seed=0
        )
        network.load_state_dict(load(data))
        return network.eval()
