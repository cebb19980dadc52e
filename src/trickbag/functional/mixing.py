"""What the tricks that mix images share: weighted means, pasted boxes, and mixed labels.

Shapes: N images of a batch, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.functional.boxes import inside, regions, share
from trickbag.functional.processor import on_cpu, pixels

if TYPE_CHECKING:
    from torch import Tensor

    from trickbag.functional.batch import Batch

__all__ = ["mix", "mix_targets", "own_share", "paste", "paste_and_mix", "select_rows", "weigh"]


def select_rows(values: Tensor, index_N: Tensor) -> Tensor:
    """Return the rows of `values` (M, ...) of an index: a copy, in the memory layout of `values`.

    The result of `index_select` is always contiguous. Where images are channels last, mixing them
    with it would take several times as long.
    """
    if values.ndim != 4 or values.is_contiguous():
        return values.index_select(0, index_N)
    return values.permute(0, 2, 3, 1).index_select(0, index_N).permute(0, 3, 1, 2)


def weigh(first: Tensor, second: Tensor, lam_N: Tensor) -> Tensor:
    """Return `lam * first + (1 - lam) * second` row by row, for (N, ...) of a floating type.

    `lam_N` (N,) is in [0, 1]. A weight of 1 gives the rows of `first` bit for bit.
    """
    import torch

    # `lerp` is exact at both ends, as it counts from the nearer one. `a + w (b - a)` is not
    # exact at w = 1.
    return torch.lerp(second, first, lam_N.to(first.dtype).reshape(-1, *[1] * (first.ndim - 1)))


def mix(values: Tensor, lam_N: Tensor, partner_N: Tensor) -> Tensor:
    """Return `lam * x_i + (1 - lam) * x_j` for each row i of `values` (N, ...).

    j is `partner_N[i]`, a row of the same batch; `lam_N` (N,) is in [0, 1]. Images and all that is
    said about them, such as targets, are to be mixed with the same weights and partners. Source:
    Zhang et al. 2017; He et al. 2018, section 5.4.
    """
    lam = lam_N.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    # In place on the copy of the partners: the cost of mixing is memory traffic.
    return select_rows(values, partner_N).lerp_(values, lam)


def paste(
    images_NCHW: Tensor, boxes_N4: Tensor, partner_N: Tensor, *, owned: bool = False
) -> Tensor:
    """Return the images with the box of each taken from its partner, at the same place.

    `boxes_N4` has one row for each image or one for all; `partner_N` (N,) are rows of the same
    batch. `owned` allows changing the images in place. Source: Yun et al. 2019, section 3.1.
    """
    if on_cpu(images_NCHW):
        if len(boxes_N4) == 1:
            pasted = images_NCHW if owned else images_NCHW.clone()
            for _, top, bottom, left, right in regions(boxes_N4):
                # `index_select` copies: with `owned` both tensors are one, and a view would be
                # overwritten while it is read.
                box = images_NCHW[..., top:bottom, left:right].index_select(0, partner_N)
                pasted[..., top:bottom, left:right] = box
            return pasted
        # A copy even of owned images: a partner may have its own box filled before it is read.
        pasted, partner = images_NCHW.clone(), partner_N.tolist()
        targets, sources = pixels(pasted), pixels(images_NCHW)
        for i, top, bottom, left, right in regions(boxes_N4):
            targets[i, :, top:bottom, left:right] = sources[partner[i], :, top:bottom, left:right]
        return pasted
    height, width = images_NCHW.shape[2:]
    outside = 1 - inside(boxes_N4, height, width, images_NCHW.dtype)
    # A weighted mean with weights of 0 and 1 is a choice, and on a CPU it is several times as fast
    # as `where`.
    return select_rows(images_NCHW, partner_N).lerp_(images_NCHW, outside)


def paste_and_mix(
    images_NCHW: Tensor, boxes_N4: Tensor, lam_N: Tensor, partner_N: Tensor
) -> Tensor:
    """Return the images mixed as by `mix`, and inside their boxes replaced as by `paste`."""
    height, width = images_NCHW.shape[2:]
    outside = 1 - inside(boxes_N4, height, width, images_NCHW.dtype)
    weights = outside * lam_N.to(images_NCHW.dtype)[:, None, None, None]
    return select_rows(images_NCHW, partner_N).lerp_(images_NCHW, weights)


def own_share(boxes_N4: Tensor, height: int, width: int) -> Tensor:
    """Return the area outside each box as a share of the image, (N,) float32.

    It is the weight of the image's own targets.
    """
    return 1 - share(boxes_N4, height, width)


def mix_targets(batch: Batch, images_NCHW: Tensor, lam_N: Tensor, partner_N: Tensor) -> Batch:
    """Return the batch with these images, and all that is said about them mixed.

    `lam_N` and `partner_N` as of `mix`.
    """
    mixed = batch.map_labels(lambda values: mix(values, lam_N, partner_N))
    return mixed._replace(images=images_NCHW)
