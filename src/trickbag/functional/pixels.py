"""Logits of pixels at another size, a few rows at a time.

At the size of a large photo the logits of many classes would not fit into the memory. Shapes: K
classes, h and w pixels of the logits, H and W pixels of the result, B rows of a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = ["enlarged_blocks", "predicted_classes"]

_BLOCK = 2**24
"""The most numbers of a block: 64 MiB in float32."""


def enlarged_blocks(logits_Khw: Tensor, size: tuple[int, int]) -> Iterator[tuple[int, Tensor]]:
    """Yield logits (K, H, W) that are scaled to `size`, in blocks: the first row, and (K, B, W).

    They are those of `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`.
    """
    import torch
    from torch.nn import functional

    classes, inner_height, inner_width = logits_Khw.shape
    height, width = size
    if (inner_height, inner_width) == size:
        yield 0, logits_Khw
        return
    rows = max(1, _BLOCK // (classes * max(width, inner_width)))
    # In float64: the places of the last of thousands of rows are not exact in float32.
    place = (torch.arange(height, dtype=torch.float64) + 0.5) * inner_height / height - 0.5
    place = place.clamp(0, inner_height - 1)
    above = place.floor().long()
    below = (above + 1).clamp(max=inner_height - 1)
    share = (place - above).to(logits_Khw.dtype)
    above, below, share = (tensor.to(logits_Khw.device) for tensor in (above, below, share))
    for start in range(0, height, rows):
        block = slice(start, start + rows)
        first, second = logits_Khw[:, above[block]], logits_Khw[:, below[block]]
        blended = torch.lerp(first, second, share[block][None, :, None])
        # Along the rows nothing is left to scale.
        yield (
            start,
            functional.interpolate(
                blended[None], size=(blended.shape[1], width), mode="bilinear", align_corners=False
            )[0],
        )


def predicted_classes(logits_Khw: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the class of each pixel, uint8 (H, W), of logits that are scaled to `size`.

    Of equal logits the first class. A pixel with a logit that is not finite has the class K, which
    is none. Up to 255 classes.
    """
    import torch

    classes = len(logits_Khw)
    result = torch.empty(size, dtype=torch.uint8, device=logits_Khw.device)
    for start, logits_KBW in enlarged_blocks(logits_Khw, size):
        predicted = logits_KBW.argmax(dim=0).to(torch.uint8)
        nothing = logits_KBW.isfinite().all(dim=0).logical_not()
        result[start : start + logits_KBW.shape[1]] = predicted.masked_fill(nothing, classes)
    return result
