"""A network as an ONNX file, which onnxruntime and other programs run without torch."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trickbag.export.format import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from trickbag.export.format import ReadBack
    from trickbag.export.graph import Graph
    from trickbag.models.weights_metadata import WeightsMetadata

__all__ = ["OnnxFormat"]


@dataclass(frozen=True)
class OnnxFormat(Format):
    """A graph: of a classifier from `images` to `logits`, for any number of images.

    Each field of the network's metadata is a metadata property of the file, as JSON:
    `preprocessing` has image_size, resize, resize_policy, interpolation, mean and std, `classes`
    the names in the order of the logits. By `temperature`, if there is one, the graph has divided
    its logits: whoever reads them does not do it again.
    """

    name: ClassVar[str] = "onnx"
    suffix: ClassVar[str] = ".onnx"
    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "onnxscript")
    is_graph: ClassVar[bool] = True

    def encode(self, graph: Graph, metadata: WeightsMetadata) -> bytes:
        """Trace the network; return the file, with the weights inside."""
        import onnx
        import torch

        shapes = ({0: torch.export.Dim("images")},) if graph.any_number else None
        with warnings.catch_warnings(), _quiet("onnx_ir"):
            warnings.simplefilter("ignore")  # the exporter warns about its own packages
            program = torch.onnx.export(
                graph.module,
                graph.example,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
            )
        assert program is not None
        model = program.model_proto
        for key, value in {**metadata.to_dict(), **graph.facts}.items():
            text = json.dumps(value, sort_keys=True, allow_nan=False)
            model.metadata_props.add(key=key, value=text)
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data

    def decode(self, data: bytes) -> ReadBack:
        """Load the graph with onnxruntime, on the CPU."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return _OnnxOutputs(session)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a package from logging warnings about what its own exporter does."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@dataclass(frozen=True)
class _OnnxOutputs:
    """The outputs of a graph, computed by a session of onnxruntime; a single one by itself."""

    session: Any

    def __call__(self, *inputs: Tensor) -> Tensor | list[Tensor]:
        import torch

        names = [each.name for each in self.session.get_inputs()]
        arrays = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        outputs = [torch.from_numpy(array) for array in self.session.run(None, arrays)]
        return outputs[0] if len(outputs) == 1 else outputs
