"""What a file of a network computes: the function of its task, with named inputs and outputs.

Shapes: N images, C channels, H and W pixels of the network's input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from trickbag.data.size import height_width
from trickbag.export.images import images_to_check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.evaluate.trained import Trained

__all__ = ["Computation", "Difference", "Graph", "Inputs", "computation_of"]

Inputs = tuple[Tensor, ...]
"""The inputs of one call of a graph."""


class Difference(NamedTuple):
    """How far the outputs of a file are from those of the network: `value`, of `largest`."""

    value: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A network as a file computes it.

    `module` takes `inputs` in their order, of which `example` has some, and returns `outputs`: a
    tensor, or a tuple of more. `any_number`: it takes any number of images, else one of the size of
    the example. `weights` is the network whose weights are stored. `facts` are kept beside the
    metadata.
    """

    module: nn.Module
    weights: nn.Module
    example: Inputs
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    any_number: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)


class Computation(ABC):
    """What networks of a task compute in a file, and how it is checked.

    `compared` names what is compared, such as a logit, and `outputs` all of that.
    """

    compared: str
    outputs: str

    @abstractmethod
    def graph(self, network: nn.Module, trained: Trained) -> Graph:
        """Return the graph of a network of the task, in evaluation mode on the CPU."""

    @abstractmethod
    def module(self, network: nn.Module) -> nn.Module:
        """Return what a network computes in a graph, for one that was read back."""

    @abstractmethod
    def checks(self, trained: Trained) -> tuple[list[Inputs], str]:
        """Return the inputs on which a file is checked, and what they are."""

    @abstractmethod
    def difference(self, actual: Sequence[Tensor], expected: Sequence[Tensor]) -> Difference:
        """Compare the outputs of one call."""


class ClassComputation(Computation):
    """Logits (N, K) of images (N, C, H, W), for any N."""

    compared = "logit"
    outputs = "logits"

    def graph(self, network: nn.Module, trained: Trained) -> Graph:
        """Return the network itself."""
        # Two images: torch.export takes a size of 1 for a constant, not for a number of images.
        size = height_width(trained.preprocessing.image_size)
        example = torch.zeros(2, trained.preprocessing.count, *size)
        return Graph(
            module=self.module(network),
            weights=network,
            example=(example,),
            inputs=("images",),
            outputs=("logits",),
        )

    def module(self, network: nn.Module) -> nn.Module:
        """Return the network itself."""
        return network

    def checks(self, trained: Trained) -> tuple[list[Inputs], str]:
        """Return all images at once, and the first one alone."""
        pixels, checked = images_to_check(trained)
        images = trained.preprocessing.normalise(torch.from_numpy(pixels))
        return [(images,), (images[:1],)], checked

    def difference(self, actual: Sequence[Tensor], expected: Sequence[Tensor]) -> Difference:
        """Compare logits."""
        (logits,), (own_logits,) = actual, expected
        return Difference(float((logits - own_logits).abs().max()), float(own_logits.abs().max()))


def computation_of(trained: Trained) -> Computation:
    """Return what networks of a task compute in a file."""
    if trained.task.kind == "detection":
        from trickbag.export.boxes import BoxComputation

        return BoxComputation()
    if trained.task.kind == "segmentation":
        from trickbag.export.masks import MaskComputation

        return MaskComputation()
    return ClassComputation()
