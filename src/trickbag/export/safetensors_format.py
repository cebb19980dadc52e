"""A network as a safetensors file: weights and metadata, from which `models.load` rebuilds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag.export.format import Format

if TYPE_CHECKING:
    from trickbag.export.format import ReadBack
    from trickbag.export.graph import Graph
    from trickbag.models.weights_metadata import WeightsMetadata

__all__ = ["SafetensorsFormat"]


@dataclass(frozen=True)
class SafetensorsFormat(Format):
    """Weights in float32, with the metadata as JSON under the key `trickbag`."""

    name: ClassVar[str] = "safetensors"
    suffix: ClassVar[str] = ".safetensors"

    def encode(self, graph: Graph, metadata: WeightsMetadata) -> bytes:
        """Return the file; the same weights give the same bytes."""
        from trickbag.models.weights import weights_bytes

        return weights_bytes(graph.weights, metadata)

    def decode(self, data: bytes) -> ReadBack:
        """Rebuild the network from the file alone."""
        from safetensors.torch import load

        from trickbag.models.task_network import build_task_network
        from trickbag.models.weights_metadata import METADATA_KEY, WeightsMetadata

        # The format of safetensors: the header's size in 8 bytes, the header as JSON, the tensors.
        size = int.from_bytes(data[:8], "little")
        texts = json.loads(data[8 : 8 + size])["__metadata__"]
        metadata = WeightsMetadata.from_json(texts[METADATA_KEY], "the exported file")
        # Any seed will do: every weight is replaced, or load_state_dict raises.
        network = build_task_network(metadata.task, metadata.model, seed=0)
        network.load_state_dict(load(data))
        return network.eval()
