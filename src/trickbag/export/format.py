"""The interface of a format: a network becomes bytes, and the bytes give logits.

Shapes: N images, K classes, H and W pixels of the network's input.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trickbag.errors import UserError

if TYPE_CHECKING:
    from trickbag.export.graph import Graph
    from trickbag.models.weights_metadata import WeightsMetadata

__all__ = ["Format", "ReadBack"]

ReadBack = Callable[..., Any]
"""What was read back of a file: it takes the inputs of its graph, and returns the outputs.

Of a classifier these are normalised images (N, C, H, W) float32 for any N, and logits (N, K)
float32. More than one output are a sequence. A file that is no graph gives the network.
"""


@dataclass(frozen=True)
class Format(ABC):
    """A format of files: `name` on the command line, `suffix` the usual ending of a file's name."""

    name: ClassVar[str]
    suffix: ClassVar[str]

    packages: ClassVar[tuple[str, ...]] = ()
    """The packages that the format needs besides those of trickbag; `trickbag[export]` has them."""

    is_graph: ClassVar[bool] = False
    """Whether a file computes by itself: its logits are then divided by the temperature, if the
    weights have one, and a softmax of them is calibrated. Other files keep it in the metadata."""

    def require(self) -> None:
        """Raise UserError if a package that the format needs is not installed."""
        missing = [
            package for package in self.packages if importlib.util.find_spec(package) is None
        ]
        if missing:
            raise UserError(
                f"--format {self.name} needs {', '.join(missing)}: pip install 'trickbag[export]'"
            )

    @abstractmethod
    def encode(self, graph: Graph, metadata: WeightsMetadata) -> bytes:
        """Return the file of a network.

        The network is on the CPU, in evaluation mode, contiguous and float32; the graph of a
        classifier divides its logits by the temperature already. The file keeps `metadata`.
        """

    @abstractmethod
    def decode(self, data: bytes) -> ReadBack:
        """Read a file that `encode` returned, as another program would, for the check."""
