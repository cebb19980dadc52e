"""A network as an ONNX file, which onnxruntime and other programs run without torch."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trickbag.data.size import height_width
from trickbag.export.format import Format

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trickbag.data.size import Size
    from trickbag.export.format import Logits
    from trickbag.models.weights_metadata import WeightsMetadata

__all__ = ["INPUT", "OUTPUT", "OnnxFormat"]

INPUT, OUTPUT = "images", "logits"
"""The names of the graph's input (N, C, H, W) and output (N, K), both float32."""


@dataclass(frozen=True)
class OnnxFormat(Format):
    """A graph from `images` to `logits` for any number of images.

    Each field of the network's metadata is a metadata property of the file, as JSON:
    `preprocessing` has image_size, resize, resize_policy, interpolation, mean and std, `classes`
    the names in the order of the logits. By `temperature`, if there is one, the graph has divided
    its logits: whoever reads them does not do it again.
    """

    name: ClassVar[str] = "onnx"
    suffix: ClassVar[str] = ".onnx"
    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "onnxscript")
    is_graph: ClassVar[bool] = True

    def encode(self, network: nn.Module, metadata: WeightsMetadata, image_size: Size) -> bytes:
        """Trace the network; return the file, with the weights inside."""
        import onnx
        import torch

        # Two images: torch.export takes a size of 1 for a constant, not for a number of images.
        example = torch.zeros(2, metadata.preprocessing.count, *height_width(image_size))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns about its own packages
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
        for key, value in metadata.to_dict().items():
            text = json.dumps(value, sort_keys=True, allow_nan=False)
            model.metadata_props.add(key=key, value=text)
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data

    def decode(self, data: bytes) -> Logits:
        """Load the graph with onnxruntime, on the CPU."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return _OnnxLogits(session)


@dataclass(frozen=True)
class _OnnxLogits:
    """Logits (N, K) of images (N, C, H, W), computed by a session of onnxruntime."""

    session: Any

    def __call__(self, images_NCHW: Tensor) -> Tensor:
        import torch

        (logits_NK,) = self.session.run([OUTPUT], {INPUT: images_NCHW.numpy()})
        return torch.from_numpy(logits_NK)
