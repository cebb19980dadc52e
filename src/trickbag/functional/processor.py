"""How a CPU gets through a batch of images: its cache is small, and it can look at what was drawn before it starts.

A GPU, and a compiled step, change all images at once and alike: neither may wait for a number to
know what comes next. Both ways give the same images. Shapes: N images of a batch, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["at_a_time", "on_processor", "one_by_one", "pixels"]

_CACHED = 2**21  # bytes of images: the second-level cache of a common processor
_LARGE = 2**18  # bytes of an image: above it the work on one outweighs the calls


def on_processor(*tensors: Tensor) -> bool:
    """Return whether tensors are a CPU's, changed operation by operation, so that numbers can be read in between.

    Those that need gradients are not: torch has to see every operation on them.
    """
    import torch

    return not torch.compiler.is_compiling() and all(
        x.is_cpu and not x.requires_grad for x in tensors
    )


def pixels(images: Tensor) -> np.ndarray:
    """Return the memory of a tensor on the CPU as an array, to copy parts of images: a slice of it costs a fifth.

    The numbers of bfloat16, which numpy does not have, are integers there.
    """
    import torch

    return (images.view(torch.int16) if images.dtype == torch.bfloat16 else images).numpy()


def one_by_one(images_NCHW: Tensor) -> bool:
    """Return whether each image by itself is the faster way: on a CPU, above some 150 pixels of a
    side in float32."""
    return on_processor(images_NCHW) and images_NCHW[:1].nbytes > _LARGE


def at_a_time(images_NCHW: Tensor) -> int:
    """Return how many images to change together, at least 1: on a CPU those that its cache holds,
    else all."""
    if not on_processor(images_NCHW):
        return max(1, len(images_NCHW))
    return max(1, _CACHED // max(1, images_NCHW[:1].nbytes))
