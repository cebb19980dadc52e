"""What a format of exported networks is: bytes out of a network, and logits out of those bytes.

Shapes: N images, K classes, S pixels of the network's input.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trickbag.errors import UserError
from trickbag.settings import plain

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trickbag.evaluate.trained import Trained

__all__ = ["Format", "Logits", "description"]

Logits = Callable[["Tensor"], "Tensor"]
"""A network that was read back: logits (N, K) float32 of normalised images (N, 3, S, S) float32,
for any N."""


@dataclass(frozen=True)
class Format(ABC):
    """A format: `name` as the command line knows it, `suffix` the usual ending of its files."""

    name: ClassVar[str]
    suffix: ClassVar[str]

    packages: ClassVar[tuple[str, ...]] = ()
    """What the format needs besides this package's own dependencies; it comes with
    `trickbag[export]`."""

    def require(self) -> None:
        """Raise UserError where a package that the format needs is not installed."""
        missing = [
            package for package in self.packages if importlib.util.find_spec(package) is None
        ]
        if missing:
            raise UserError(
                f"--format {self.name} needs {', '.join(missing)}: pip install 'trickbag[export]'"
            )

    @abstractmethod
    def encode(self, network: nn.Module, description: Mapping[str, Any], image_size: int) -> bytes:
        """Return the file of a network that is on the CPU, in evaluation mode, contiguous and float32.

        `description` is plain data that the file keeps, `image_size` S.
        """

    @abstractmethod
    def decode(self, data: bytes) -> Logits:
        """Read a file that `encode` made, as another program would, for the check."""


def description(trained: Trained) -> dict[str, Any]:
    """Say what a network is, in plain data: as the metadata of a run's weights."""
    return {
        "schema": 1,
        "model": plain(trained.model),
        "classes": list(trained.classes),
        "preprocessing": plain(trained.preprocessing),
        "columns": list(trained.columns) if trained.columns else None,
        "thresholds": list(trained.thresholds) if trained.thresholds is not None else None,
    }
