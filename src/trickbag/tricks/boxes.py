"""Boxes in images: where they lie, which pixels they hold and how large they are, for a whole batch at once.

Shapes: N images of a batch, H and W pixels. A box is four integers: top, bottom, left and right, the ends excluded.
Nothing but `regions` has a shape that depends on data or loops over images, so the rest compiles into the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import EllipsisType

    import torch
    from torch import Tensor

__all__ = ["around", "inside", "regions", "share", "within"]


def around(centre_N2: Tensor, sides_N2: Tensor, height: int, width: int) -> Tensor:
    """Return the boxes (N, 4) of given sides around given centres, cut off at the image's edges; int64.

    Both are shares of height and width: a centre in [0, 1) means the pixel `floor(centre * H)`, and the box reaches
    `floor(side * H / 2)` pixels to each side of it (one less at its end), as in the published codes of CutMix and
    Cutout, whose sides are so rounded down to even numbers.
    """
    import torch

    size = _size(centre_N2, height, width)
    middle_N2, half_N2 = (centre_N2 * size).floor(), (sides_N2 * (size / 2)).floor()
    ends = [(middle_N2 - half_N2).clamp(min=0), (middle_N2 + half_N2).clamp(max=size)]
    return torch.stack(ends, dim=2).flatten(1).long()


def within(corner_N2: Tensor, sides_N2: Tensor, height: int, width: int) -> Tensor:
    """Return the boxes (N, 4) of given sides that lie inside the image; int64.

    `sides_N2` are shares of height and width, and are rounded to pixels, at most one less than the image has. Of the
    places where such a box fits, `corner_N2` in [0, 1) chooses one, from top and left.
    """
    import torch

    size = _size(corner_N2, height, width)
    whole_N2 = (sides_N2 * size).round().clamp(max=size - 1)
    start_N2 = (corner_N2 * (size - whole_N2 + 1)).floor()
    return torch.stack([start_N2, start_N2 + whole_N2], dim=2).flatten(1).long()


def inside(boxes_N4: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Return 1 for the pixels that each box holds and 0 for the others: (N, 1, H, W)."""
    import torch

    starts, ends = boxes_N4.reshape(-1, 2, 2, 1).unbind(dim=2)
    places = torch.arange(max(height, width), device=boxes_N4.device)
    rows, columns = ((places >= starts) & (places < ends)).to(dtype).unbind(dim=1)
    return rows[:, None, :height, None] * columns[:, None, None, :width]


def regions(boxes_N4: Tensor) -> dict[int, tuple[EllipsisType, slice, slice]]:
    """Return each box that holds a pixel, by its row, as what indexes its pixels in (..., H, W).

    It waits until a GPU has computed the boxes.
    """
    return {
        i: (..., slice(top, bottom), slice(left, right))
        for i, (top, bottom, left, right) in enumerate(boxes_N4.long().tolist())
        if top < bottom and left < right
    }


def share(boxes_N4: Tensor, height: int, width: int) -> Tensor:
    """Return the share of the image's pixels that each box holds, (N,) float32."""
    starts, ends = boxes_N4.reshape(-1, 2, 2).unbind(dim=2)
    return (ends - starts).prod(dim=1).float() / (height * width)


def _size(values_N2: Tensor, height: int, width: int) -> Any:
    """Return height and width as what the two columns are multiplied by: of a square one number, as nearly always."""
    return height if height == width else values_N2.new_tensor([height, width])
