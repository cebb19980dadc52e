"""How a CPU gets through a batch of images: its cache is small, and it can look at what was drawn before it starts.

A GPU, and a compiled step, change all images at once and alike: neither may wait for a number to know what comes next.
Both ways give the same images. Shapes: N images of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["at_a_time", "on_processor", "one_by_one"]

_CACHED = 2**21  # bytes of images: the second-level cache of a common processor
_LARGE = 2**18  # bytes of an image: above it the work on one outweighs the calls


def on_processor(images_NCHW: Tensor) -> bool:
    """Return whether images are changed by a CPU, operation by operation, so that numbers can be read in between."""
    import torch

    return images_NCHW.device.type == "cpu" and not torch.compiler.is_compiling()


def one_by_one(images_NCHW: Tensor) -> bool:
    """Return whether each image by itself is the faster way: on a CPU, above some 150 pixels of a side in float32."""
    return on_processor(images_NCHW) and images_NCHW[:1].nbytes > _LARGE


def at_a_time(images_NCHW: Tensor) -> int:
    """Return how many images to change together, at least 1: on a CPU those that its cache holds, else all."""
    if not on_processor(images_NCHW):
        return max(1, len(images_NCHW))
    return max(1, _CACHED // max(1, images_NCHW[:1].nbytes))
