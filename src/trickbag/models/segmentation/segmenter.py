"""Networks that classify every pixel: a dilated backbone, a head, and in training a second head.

Sources: Long et al. 2015 (arXiv 1411.4038) and Zhao et al. 2017 (arXiv 1612.01105), section 3.3
(the auxiliary loss) for `fcn`, as He et al. 2018 use it (arXiv 1812.01187, section 6.2); Chen et
al. 2017 (arXiv 1706.05587) for `deeplabv3`. Shapes: N images, C channels, K classes, H and W
pixels.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from trickbag.errors import UserError
from trickbag.models.config import TimmConfig
from trickbag.models.features import Features
from trickbag.models.init import initialise, seeded_generator
from trickbag.models.segmentation.dilation import dilate
from trickbag.models.summary import display_name
from trickbag.models.timm.residual_branches import Unfit
from trickbag.models.zoo import build_network
from trickbag.streams import seed_of

if TYPE_CHECKING:
    from trickbag.models.config import Init, ModelConfig
    from trickbag.models.task_config import SegmentationConfig

__all__ = ["Segmenter", "build_segmenter"]

_RATES = (6, 12, 18)
"""The dilations of DeepLabV3's pyramid at an output stride of 16 (Chen et al. 2017, section 3.3).

They double at 8, so that its windows see the same part of the image.
"""


class Segmenter(nn.Module):
    """Normalised images (N, C, H, W) to logits (N, K, H, W), and those of the auxiliary head.

    `backbone` gives the maps of the last level, and of the one before it for the `auxiliary` head,
    which takes part in training alone: in evaluation its logits are None. The logits are computed
    at the size of the last map and enlarged bilinearly.
    """

    def __init__(self, backbone: Features, head: nn.Module, auxiliary: nn.Module | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.auxiliary = auxiliary

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits, and in training those of the auxiliary head if there is one."""
        maps = self.backbone(images_NCHW)
        size = images_NCHW.shape[-2:]
        logits_NKHW = _enlarged(self.head(maps[-1]), size)
        if self.auxiliary is None or not self.training:
            return logits_NKHW, None
        return logits_NKHW, _enlarged(self.auxiliary(maps[0]), size)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Set whether the backward pass computes the blocks of the backbone again."""
        self.backbone.network.set_grad_checkpointing(enable)


def build_segmenter(
    config: SegmentationConfig, model: ModelConfig, *, num_classes: int, seed: int
) -> Segmenter:
    """Build a segmenter on the network of `model`, with initial values that depend on `seed` alone.

    The backbone has the values that the classifier of the same config, classes and seed has, under
    the same names behind `backbone.network.`. Each parameter of the heads is drawn from a stream of
    its name, by the scheme of the backbone (`msra` for networks of timm, which have none).

    Raises UserError for a network that has no feature maps or cannot be dilated.
    """
    network = build_network(dataclasses.replace(model, num_classes=num_classes), seed=seed)
    levels = (-2, -1) if config.auxiliary_weight else (-1,)
    backbone = Features(network, levels)
    try:
        dilate(backbone, config.output_stride)
    except Unfit as error:
        raise UserError(
            f"{display_name(model)} cannot be dilated to an output stride of "
            f"{config.output_stride}: {error.reason}",
            "--set task.output_stride=32, or another network",
        ) from None
    channels = backbone.feature_info.channels()
    # The constructors draw values, which `initialise` replaces.
    with seeded_generator(seed_of(seed, "init:head")):
        head = _head(config, channels[-1], num_classes)
        auxiliary = _fcn(channels[0], num_classes) if len(channels) > 1 else None
    segmenter = Segmenter(backbone, head, auxiliary)
    scheme: Init = "msra" if isinstance(model, TimmConfig) else model.init
    for module in (head, auxiliary):
        if module is not None:
            initialise(segmenter, scheme, seed, only=module)
    return segmenter


def _head(config: SegmentationConfig, channels: int, num_classes: int) -> nn.Module:
    if config.head == "fcn":
        return _fcn(channels, num_classes)
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead

    rates = [max(1, rate * 16 // config.output_stride) for rate in _RATES]
    return DeepLabHead(channels, num_classes, rates)  # type: ignore[no-any-return]


def _fcn(channels: int, num_classes: int) -> nn.Module:
    from torchvision.models.segmentation.fcn import FCNHead

    return FCNHead(channels, num_classes)  # type: ignore[no-any-return]


def _enlarged(logits_NKhw: Tensor, size: tuple[int, ...]) -> Tensor:
    # Not with `align_corners`: pixels would lie at other places for each size.
    return functional.interpolate(logits_NKhw, size=size, mode="bilinear", align_corners=False)
