"""A network as an exported program of torch (`.pt2`), which torch runs without this package."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag.export.format import Format

if TYPE_CHECKING:
    from trickbag.export.format import ReadBack
    from trickbag.export.graph import Graph
    from trickbag.models.weights_metadata import WeightsMetadata

__all__ = ["METADATA_FILE", "TorchFormat"]

METADATA_FILE = "trickbag.json"
"""The name of the metadata among the extra files of the program."""


@dataclass(frozen=True)
class TorchFormat(Format):
    """`torch.export.save` of a graph; the metadata is an extra file.

    `torch.export.load` reads it. The graph divides its logits by the temperature of the metadata,
    if there is one. Such a file can run the code of whoever wrote it: load only files
    of your own, and give safetensors to others.
    """

    name: ClassVar[str] = "torch"
    suffix: ClassVar[str] = ".pt2"
    is_graph: ClassVar[bool] = True

    def encode(self, graph: Graph, metadata: WeightsMetadata) -> bytes:
        """Trace the network; return the file."""
        import torch

        shapes = ({0: torch.export.Dim("images")},) if graph.any_number else None
        with warnings.catch_warnings():
            # Torchvision asks torch for a size by a name of before.
            warnings.filterwarnings("ignore", message=".*create_unbacked_symint")
            program = torch.export.export(graph.module, graph.example, dynamic_shapes=shapes)
        file = io.BytesIO()
        torch.export.save(program, file, extra_files={METADATA_FILE: _metadata(graph, metadata)})
        return file.getvalue()

    def decode(self, data: bytes) -> ReadBack:
        """Load the program; it must be one that `encode` returned in this process."""
        import torch

        with warnings.catch_warnings():
            # Torch 2.11 warns about the way in which it reads the file itself.
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            program: ReadBack = torch.export.load(io.BytesIO(data)).module()
        return program


def _metadata(graph: Graph, metadata: WeightsMetadata) -> str:
    if not graph.facts:
        return metadata.to_json()
    return json.dumps({**metadata.to_dict(), **graph.facts}, sort_keys=True, allow_nan=False)
