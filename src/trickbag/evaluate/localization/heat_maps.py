"""The heat map of one image: where a trained network sees a class.

Shapes: C channels, H and W pixels of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.errors import UserError, choices, shown
from trickbag.evaluate.given import given_pixels
from trickbag.evaluate.localization.activation_maps import METHODS, Method, activation_maps
from trickbag.evaluate.localization.pictures import overlay
from trickbag.functional.device import copied
from trickbag.metrics.localization import component_boxes, normalised
from trickbag.train.machine.device import evaluation_autocast, in_layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trickbag.evaluate.given import GivenImage
    from trickbag.evaluate.trained import Trained

__all__ = ["FIXED_THRESHOLDS", "HeatMap", "heat_map", "maps_of", "on_image", "require_method"]

FIXED_THRESHOLDS: dict[Method, float] = {"cam": 0.20, "grad-cam": 0.15}
"""The shares of the maximum at which the papers cut a map: section 3.2 of Zhou et al. 2016, 4.1 of
Selvaraju et al. 2017."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatMap:
    """How much each pixel of an image speaks for a class, float64 (H, W) in [0, 1].

    `image` is what the network sees, uint8 (C, H, W): the image scaled and cropped as in
    validation. `label` is the class, `predicted` the most probable one. `visible` (left, top,
    right, bottom) is what shows the image; a border around it has the value 0.
    """

    values: NDArray[np.float64]
    image: NDArray[np.uint8]
    label: str
    predicted: str
    method: Method
    visible: tuple[int, int, int, int]

    def box(self, threshold: float | None = None) -> tuple[float, ...] | None:
        """Return the box (left, top, right, bottom) of the largest part above a threshold.

        The threshold is a share of the maximum, by default that of the method's paper. None for a
        map that is the same everywhere.
        """
        cut = FIXED_THRESHOLDS[self.method] if threshold is None else threshold
        boxes = component_boxes(self.values, cut)
        return tuple(boxes[0].tolist()) if len(boxes) else None

    def picture(self, threshold: float | None = None) -> NDArray[np.uint8]:
        """Draw the map over the image, with its box; uint8 (H, W, 3), enlarged where small."""
        box = self.box(threshold)
        return overlay(self.image, self.values, boxes_N4=[] if box is None else [box])


def heat_map(
    trained: Trained, image: GivenImage, label: str | None = None, *, method: Method = "grad-cam"
) -> HeatMap:
    """Return the heat map of a class in an image; by default of the class that is predicted.

    `image` is a path, an array or an image of Pillow, as in prediction. Raises UserError for a
    class that the network does not know, a network without maps, and logits that are not finite;
    DecodeError for an image that cannot be read.
    """
    require_method(method)
    if label is not None and label not in trained.classes:
        raise UserError(
            f"the network has no class {shown(label)}",
            f"it has {choices(trained.classes[:20])}"
            + (f" and {len(trained.classes) - 20:,} more" if len(trained.classes) > 20 else ""),
        )
    preprocessing = trained.preprocessing
    pixels = given_pixels(image, preprocessing.pixels).pixels
    crop = preprocessing.crop(pixels)
    visible = preprocessing.placement(*pixels.shape[:2]).visible

    def pairs(logits_NK: Tensor) -> tuple[Tensor, Tensor]:
        known = None if label is None else trained.classes.index(label)
        classes = logits_NK.argmax(1) if known is None else logits_NK.new_tensor([known]).long()
        return torch.zeros_like(classes), classes

    maps, logits = maps_of(trained, crop[None], pairs, method)
    if not np.isfinite(logits[0]).all():
        # Their maximum would be found at the first class.
        raise UserError(
            f"{trained.path} gives logits that are not finite for the image, and no map explains "
            "them",
            "choose another image, or other weights",
        )
    predicted = trained.classes[int(logits[0].argmax())]
    return HeatMap(
        values=on_image(maps[0], visible),
        image=crop,
        label=predicted if label is None else label,
        predicted=predicted,
        method=method,
        visible=visible,
    )


def require_method(method: str) -> None:
    """Raise UserError for a method that does not exist."""
    if method not in METHODS:
        raise UserError(f"method = {shown(method)}: must be one of {choices(METHODS)}")


def maps_of(
    trained: Trained,
    crops_NCHW: NDArray[np.uint8],
    pairs: Callable[[Tensor], tuple[Tensor, Tensor]],
    method: Method,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return maps (P, H, W) of the size of the crops, and logits (N, K), on the CPU.

    They are computed in float32, whatever the precision of the run. `pairs` as for
    `activation_maps`. The maps are resized bilinearly.
    """
    with torch.no_grad(), evaluation_autocast(trained.device, None):
        images = trained.preprocessing.normalise(
            copied(torch.from_numpy(crops_NCHW), trained.device)
        )
        maps_PHW, logits_NK = activation_maps(
            trained.network, in_layout(images, trained.layout), pairs, method
        )
        resized = nn.functional.interpolate(
            maps_PHW[:, None], crops_NCHW.shape[2:], mode="bilinear", align_corners=False
        )
    return resized[:, 0].cpu().numpy(), logits_NK.cpu().numpy()


def on_image(
    map_HW: NDArray[np.float32], visible: tuple[int, int, int, int]
) -> NDArray[np.float64]:
    """Return a map in [0, 1] by its range within what shows the image; a border around is 0."""
    left, top, right, bottom = visible
    values = np.zeros(map_HW.shape)
    values[top:bottom, left:right] = normalised(map_HW[top:bottom, left:right])
    return values
