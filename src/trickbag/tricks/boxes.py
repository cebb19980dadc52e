"""Boxes in images: where they lie, which pixels they hold and how large they are, for a whole batch at once.

Shapes: N images of a batch, H and W pixels. A box is four integers: top, bottom, left and right, the ends excluded.
Nothing here has a shape that depends on data, and nothing loops over images, so it compiles into the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["around", "inside", "share", "within"]


def around(centre_N2: Tensor, sides_N2: Tensor, height: int, width: int) -> Tensor:
    """Return the boxes (N, 4) of given sides around given centres, cut off at the image's edges; int64.

    Both are shares of height and width: a centre in [0, 1) means the pixel `floor(centre * H)`, and the box reaches
    `floor(side * H / 2)` pixels to each side of it (one less at its end), as in the published codes of CutMix and
    Cutout, whose sides are so rounded down to even numbers.
    """
    import torch

    ends = []
    for axis, size in enumerate((height, width)):
        middle_N = (centre_N2[:, axis] * size).floor()
        half_N = (sides_N2[:, axis] * (size / 2)).floor()
        ends += [(middle_N - half_N).clamp(min=0), (middle_N + half_N).clamp(max=size)]
    return torch.stack(ends, dim=1).long()


def within(corner_N2: Tensor, sides_N2: Tensor, height: int, width: int) -> Tensor:
    """Return the boxes (N, 4) of given sides that lie inside the image; int64.

    `sides_N2` are shares of height and width, and are rounded to pixels, at most one less than the image has. Of the
    places where such a box fits, `corner_N2` in [0, 1) chooses one, from top and left.
    """
    import torch

    ends = []
    for axis, size in enumerate((height, width)):
        side_N = (sides_N2[:, axis] * size).round().clamp(max=size - 1)
        start_N = (corner_N2[:, axis] * (size - side_N + 1)).floor()
        ends += [start_N, start_N + side_N]
    return torch.stack(ends, dim=1).long()


def inside(boxes_N4: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Return 1 for the pixels that each box holds and 0 for the others: (N, 1, H, W)."""
    import torch

    def between(low: Tensor, high: Tensor, size: int) -> Tensor:
        places = torch.arange(size, device=boxes_N4.device)
        return ((places >= low) & (places < high)).to(dtype)

    top, bottom, left, right = boxes_N4[:, :, None].unbind(dim=1)
    rows, columns = between(top, bottom, height), between(left, right, width)
    return rows[:, None, :, None] * columns[:, None, None, :]


def share(boxes_N4: Tensor, height: int, width: int) -> Tensor:
    """Return the share of the image's pixels that each box holds, (N,) float32."""
    top, bottom, left, right = boxes_N4.unbind(dim=1)
    return ((bottom - top) * (right - left)).float() / (height * width)
