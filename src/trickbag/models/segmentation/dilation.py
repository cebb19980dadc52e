"""Strides become dilations, so that the last maps of a network stay as large as earlier ones.

Sources: Chen et al. 2017 (arXiv 1706.05587), section 3.1, and Yu et al. 2017 (arXiv 1705.09472),
section 2. Which strides are concerned is read from what the network computes
(`models.timm.trace`), never from the names of its modules. Shapes: H and W pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.func import functional_call

from trickbag.errors import first_line
from trickbag.models.segmentation.layer_dilation import Change, stride_of
from trickbag.models.timm.residual_branches import Unfit
from trickbag.models.timm.trace import TracedCall, evaluating, made_for_shape, record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from trickbag.models.features import Features

__all__ = ["dilate"]


def dilate(backbone: Features, output_stride: int) -> None:
    """Let no map of a network be smaller than 1 / `output_stride` of the image, in place.

    Beyond it a stride becomes 1, and the windows of all layers behind it take pixels that lie as
    far apart as before: each pixel of the network without dilation is one of the denser maps, with
    the same value. Three things differ from that. Means over a map (squeeze-excitation, selective
    kernels) are over more pixels. A blur reflects its map at the edge of the denser one. A branch
    whose map is enlarged again (the big one of a Big-Little network) keeps its stride, so that it
    stays at half of the size of the branch beside it. Parameters, their names and their shapes do
    not change.

    Raises Unfit for a network with a stride of unknown form; it can then be half changed.
    """
    image_shape = made_for_shape(backbone.network)
    try:
        calls = record(backbone, image_shape)
    except Exception as error:  # every network refuses in its own way
        raise Unfit(f"it does not take an image on shapes alone ({first_line(error)})") from error
    changes = _changes(calls, output_stride)
    for layer, change in changes.items():
        change.apply(backbone.network, layer)
    for level in backbone.feature_info.levels:
        level["reduction"] = min(level["reduction"], output_stride)
    _require_sizes(backbone, image_shape)


class _Grid(NamedTuple):
    """The pixels of a map without dilation, and how many times as dense they become.

    `reduction`: the pixels of the image on each side of one of its own.
    """

    reduction: float
    dilation: int
    height: int
    width: int


def _changes(calls: list[TracedCall], output_stride: int) -> dict[nn.Module, Change]:
    """Return the layers that change, and how."""
    trunk = _trunk(calls)
    grids: dict[TracedCall, _Grid | None] = {calls[0]: _Grid(1, 1, *calls[0].shape[-2:])}
    changes: dict[nn.Module, Change] = {}
    seen: dict[nn.Module, Change | None] = {}
    for call in calls[1:]:
        grid = _joined(grids[source] for source in call.inputs)
        stride = stride_of(call.module) if _is_window(call) else None
        if stride is None or grid is None or math.prod(call.shape[2:]) == 1:
            grids[call] = _behind(call, grid, output_stride if call in trunk else math.inf)
            continue
        kept = stride
        if call in trunk and grid.reduction * stride > output_stride:
            kept = max(1, int(output_stride // grid.reduction))
            if stride % kept:
                raise Unfit(f"a stride of {stride} does not divide by what is left of it, {kept}")
        change = Change(kept, grid.dilation)
        unchanged = kept == stride and grid.dilation == 1
        assert call.module is not None
        if seen.setdefault(call.module, None if unchanged else change) != (
            None if unchanged else change
        ):
            raise Unfit(f"it calls one {type(call.module).__name__} at several places")
        if not unchanged:
            changes[call.module] = change
        grids[call] = _Grid(
            grid.reduction * stride, grid.dilation * (stride // kept), *call.shape[-2:]
        )
    return changes


def _trunk(calls: list[TracedCall]) -> set[TracedCall]:
    """Return the calls that lead to the result without being enlarged on the way."""
    trunk: set[TracedCall] = set()
    waiting = [call for call in calls if not call.users]
    while waiting:
        call = waiting.pop()
        if call in trunk or any("upsample" in operation for operation in call.operations):
            continue
        trunk.add(call)
        waiting += call.inputs
    return trunk


def _is_window(call: TracedCall) -> bool:
    """Tell whether a call is that of a layer with windows, and not of a layer added to it."""
    return len(call.shape) == 4 and not {"add", "mul"}.intersection(call.operations)


def _joined(grids: Iterable[_Grid | None]) -> _Grid | None:
    """Return the grid of what a call takes; Unfit where two of them do not lie on each other."""
    maps = {grid for grid in grids if grid is not None}
    if len({grid.dilation for grid in maps}) > 1:
        raise Unfit("maps that would be differently dilated meet in it")
    # Of several sizes, as where a map is enlarged to the size of another, the largest.
    return max(maps, key=lambda grid: grid.height, default=None)


def _behind(call: TracedCall, grid: _Grid | None, output_stride: float) -> _Grid | None:
    """Return the grid of the result of a call without windows of a known form."""
    if grid is None or math.prod(call.shape[2:]) == 1:
        return None
    size = (grid.height, grid.width)
    if size in (call.shape[2:4], call.shape[1:3]) or math.prod(size) in call.shape[1:]:
        if grid.dilation > 1 and "convolution" in call.operations and call.shape[2:] != (1, 1):
            raise Unfit(f"its {type(call.module).__name__} convolves without a layer for it")
        return grid
    if len(call.shape) != 4:
        return None
    height, width = call.shape[2:]
    reduction = grid.reduction * grid.height / height
    if height < grid.height and (reduction > output_stride or grid.dilation > 1):
        raise Unfit(f"its {type(call.module).__name__} skips pixels in a form of its own")
    return _Grid(reduction, grid.dilation, height, width)


def _require_sizes(backbone: Features, image_shape: tuple[int, int, int]) -> None:
    """Raise Unfit if the dilated network has no maps of the sizes that it should have."""
    tensors = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    images = torch.empty(1, *image_shape, device="meta")
    try:
        with evaluating(backbone), torch.no_grad():
            maps = functional_call(backbone, shapes, (images,))
    except Exception as error:
        raise Unfit(f"its layers no longer fit together ({first_line(error)})") from error
    for x_NCHW, reduction in zip(maps, backbone.feature_info.reduction(), strict=True):
        # Networks without padding have somewhat smaller maps.
        if x_NCHW.shape[-1] < 0.75 * image_shape[-1] / reduction:
            raise Unfit("its last map does not become larger")
