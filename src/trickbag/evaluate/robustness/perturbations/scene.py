"""The images of a batch with what lies around them, and their random draws.

Shapes: N images, C channels, H and W pixels of an image with what lies around it, h and w pixels of
a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from trickbag.evaluate.robustness.perturbations.geometry import centre
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Scene"]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A batch of images (N, C, H, W) uint8, of which the frames of a sequence are made.

    A frame has `size` (h, w) pixels, the centre of its image; what lies around it comes into view
    when the image moves. `photo` are height and width of the image as it was scaled, of which the
    frame is the centre: a tilt turns the whole of it. `rows` are the images' places in the data
    set: with `seed`, the name of the perturbation and the number of the frame they determine every
    draw.
    """

    images: Tensor
    size: tuple[int, int]
    photo: tuple[int, int]
    rows: Sequence[int]
    seed: int

    @cached_property
    def crops(self) -> Tensor:
        """The images without what lies around them, (N, C, h, w) uint8."""
        return centre(self.images, *self.size).contiguous()

    def draws(
        self, name: str, frame: int, draw: Callable[[np.random.Generator], NDArray[Any]]
    ) -> Tensor:
        """Return what `draw` gives for each image of a frame, stacked, on the images' device."""
        drawn = [draw(stream(self.seed, f"perturbation:{name}", frame, row)) for row in self.rows]
        return torch.from_numpy(np.stack(drawn)).to(self.images.device)
