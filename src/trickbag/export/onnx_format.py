"""A network as an ONNX file, which onnxruntime and others run without torch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trickbag.export.format import Format

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trickbag.export.format import Logits

__all__ = ["INPUT", "OUTPUT", "OnnxFormat"]

INPUT, OUTPUT = "images", "logits"
"""The names of the graph's input (N, 3, S, S) float32, normalised, and output (N, K) float32."""


@dataclass(frozen=True)
class OnnxFormat(Format):
    """A graph from `images` to `logits` for any number of images; each part of the description is a metadata property.

    A property is JSON: `preprocessing` with resize, image_size, mean and std, `classes` with their
    names in the order of the logits, and so on.
    """

    name: ClassVar[str] = "onnx"
    suffix: ClassVar[str] = ".onnx"
    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "onnxscript")

    def encode(self, network: nn.Module, description: Mapping[str, Any], image_size: int) -> bytes:
        """Trace the network and return the file, weights inside."""
        import onnx
        import torch

        example = torch.zeros(2, 3, image_size, image_size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's, about its own packages
            program = torch.onnx.export(
                network,
                (example,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("images")},),
                external_data=False,
                verbose=False,
            )
        assert program is not None
        model = program.model_proto
        for key, value in description.items():
            model.metadata_props.add(
                key=key, value=json.dumps(value, sort_keys=True, allow_nan=False)
            )
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data

    def decode(self, data: bytes) -> Logits:
        """Load the graph with onnxruntime, on the CPU."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return _Session(
            onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        )


@dataclass(frozen=True)
class _Session:
    session: Any

    def __call__(self, images_N3SS: Tensor) -> Tensor:
        import torch

        (logits_NK,) = self.session.run([OUTPUT], {INPUT: images_N3SS.numpy()})
        return torch.from_numpy(logits_NK)
