"""How a CPU changes a batch of images.

Its cache is small, and it can read a number that was drawn before it goes on. A GPU and a compiled
step change all images at once and alike: they may not wait for a number to know what comes next.
Both ways give the same images. Shapes: N images of a batch, C channels, H and
W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["chunk_size", "on_cpu", "one_by_one", "pixels"]

_CACHED_BYTES = 2**21
"""Bytes of images that fit the second-level cache of a common processor."""

_LARGE_BYTES = 2**18
"""Bytes of an image above which the work on it outweighs the calls of functions."""


def on_cpu(*tensors: Tensor) -> bool:
    """Return whether tensors are on a CPU and are computed eagerly, so that numbers can be read.

    It is False for tensors that need gradients: torch has to see every operation on them.
    """
    import torch

    return not torch.compiler.is_compiling() and all(
        x.is_cpu and not x.requires_grad for x in tensors
    )


def pixels(images: Tensor) -> np.ndarray:
    """Return the memory of a tensor on the CPU as an array, to copy parts of images.

    numpy has no bfloat16: its bits are integers there.
    """
    import torch

    # Slicing an array costs a fifth of slicing a tensor.
    return (images.view(torch.int16) if images.dtype == torch.bfloat16 else images).numpy()


def one_by_one(images_NCHW: Tensor) -> bool:
    """Return whether it is faster to change each image by itself.

    It is on a CPU, for images of more than about 150 pixels a side in float32.
    """
    return on_cpu(images_NCHW) and images_NCHW[:1].nbytes > _LARGE_BYTES


def chunk_size(images_NCHW: Tensor) -> int:
    """Return how many images to change together: on a CPU those that fit its cache, else all."""
    if not on_cpu(images_NCHW):
        return max(1, len(images_NCHW))
    return max(1, _CACHED_BYTES // max(1, images_NCHW[:1].nbytes))
