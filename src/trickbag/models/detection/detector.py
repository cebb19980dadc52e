"""Faster R-CNN from torchvision's parts, on the feature maps of this package's and timm's networks.

Sources: Ren et al. 2015 (arXiv 1506.01497); Lin et al. 2017 (arXiv 1612.03144) for the pyramid; the
single map is the form of He et al. 2018 (arXiv 1812.01187), section 6.1, in gluon-cv. Shapes: N
images, C channels, H and W pixels, M boxes, R regions, K classes.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from trickbag.errors import Note, UserError, first_line
from trickbag.models.detection.heads import StageHead, region_heads
from trickbag.models.detection.initial import initialise_layers
from trickbag.models.detection.proposals import region_proposals
from trickbag.models.features import Features, maps_on_shapes, pyramid_levels, stage_modules
from trickbag.models.init import seeded_generator
from trickbag.models.summary import display_name
from trickbag.models.zoo import build_network
from trickbag.streams import seed_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.models.config import ModelConfig
    from trickbag.models.detection.config import DetectionConfig

__all__ = ["Detections", "Detector", "build_detector"]

TRIED_SIZE = (224, 160)
"""Height and width of an image that shows whether a network takes any size: multiples of 32."""

MEAN_STD, BOX_STD = 0.01, 0.001


class Detections(NamedTuple):
    """The objects of an image, best first.

    `boxes` (M, 4) are x1, y1, x2, y2 in pixels of the canvas, `labels` and `scores` (M,). `finite`
    is False where the maps of the image hold values that are no numbers: no box comes of those.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    finite: bool = True


class Detector(nn.Module):
    """Faster R-CNN: images (N, C, H, W) in a canvas to losses or to boxes; see `DetectionConfig`.

    Images are normalised, and lie in the upper left corner of the canvas. `extents` (N, 2 or more)
    begin with the height and width of each; None means that they fill it. `build_detector` sets the
    initial values. `notes` say what was chosen. `backbone.network` has the parameters of the
    classifier that the backbone was.

    Before each pass in training call `begin`: it decides which anchors and proposals are samples.
    Nothing draws from torch's own generators. Under autocast the layers compute in its type, and
    boxes, pooling of regions and losses in float32.
    """

    def __init__(
        self,
        config: DetectionConfig,
        backbone: Features,
        *,
        num_classes: int,
        stage: Sequence[nn.Module] = (),
        stage_channels: int = 0,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.backbone = backbone
        self.notes: list[Note] = []
        strides, widths = backbone.feature_info.reduction(), backbone.feature_info.channels()
        self.strides = tuple(strides)
        # Of all levels: a network can compute those that it does not return.
        reductions = [int(level["reduction"]) for level in backbone.network.feature_info]
        self.multiple = max(reductions)
        self.names = [str(level) for level in range(len(strides))]
        self.pyramid: Any = None
        if config.features == "fpn":
            self.pyramid = FeaturePyramidNetwork(widths, config.channels, LastLevelMaxPool())
        channels = config.channels if self.pyramid is not None else widths[-1]
        # The pool adds a map of half the size, which has anchors, but no regions.
        anchor_strides = [*strides, 2 * strides[-1]] if self.pyramid is not None else strides
        head = StageHead(stage, stage_channels) if stage else None
        self.rpn: Any = region_proposals(config, anchor_strides, channels)
        self.roi_heads: Any = region_heads(config, self.names, strides, channels, num_classes, head)
        self.frozen_norms: tuple[nn.Module, ...] = ()
        if config.backbone_norm == "frozen":
            self.freeze_norms()

    def freeze_norms(self) -> None:
        """Keep the statistics, scale and shift of the backbone's batch normalisations from now on.

        They then use their running statistics in training too.
        """
        self.frozen_norms = tuple(m for m in self.backbone.modules() if isinstance(m, _NormBase))
        for norm in self.frozen_norms:
            norm.requires_grad_(False)
        self.train(self.training)

    def keep_loaded(self) -> None:
        """Freeze what `backbone_norm` freezes of a backbone into which weights were loaded."""
        if self.config.backbone_norm == "auto":
            self.freeze_norms()

    def train(self, mode: bool = True) -> Detector:
        """Set training or evaluation mode; frozen normalisations stay in evaluation mode."""
        super().train(mode)
        for norm in self.frozen_norms:
            norm.training = False
        return self

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Set whether the backward pass computes the backbone's blocks again, to save memory."""
        set_checkpointing = getattr(self.backbone.network, "set_grad_checkpointing", None)
        # As timm does; `models.gradient_checkpointing` turns it into a message.
        assert set_checkpointing is not None
        set_checkpointing(enable)

    def begin(self, seed: int) -> None:
        """Set what the next pass in training draws; the same seed gives the same draws."""
        for name in ("rpn", "roi_heads"):
            sampler = getattr(self, name).fg_bg_sampler
            sampler.generator.manual_seed(seed_of(seed, f"samples:{name}"))

    def forward(
        self,
        images_NCHW: Tensor,
        extents_N2: Tensor | None = None,
        boxes: Sequence[Tensor] | None = None,
        labels: Sequence[Tensor] | None = None,
    ) -> Any:
        """Return the losses if there are `boxes` and `labels` (one of each an image), else objects.

        On the device `meta` the outputs of all layers are returned instead: shapes alone.
        """
        if images_NCHW.device.type == "meta":
            return self._outputs_on_shapes(images_NCHW)
        if boxes is None or labels is None:
            return self.detect(images_NCHW, extents_N2)
        return self.losses(images_NCHW, extents_N2, boxes, labels)

    def losses(
        self,
        images_NCHW: Tensor,
        extents_N2: Tensor | None,
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """Return the four losses of Faster R-CNN, whose sum is trained.

        `boxes` (M, 4) of an image are x1, y1, x2, y2 in pixels of the canvas, `labels` (M,) classes
        from 0 to K - 1. Boxes with a label below 0, and those without area, are padding. The losses
        are means over the samples of these images: `loss_objectness` and `loss_rpn_box_reg` of the
        anchors, `loss_classifier` and `loss_box_reg` of the proposals. Images without extent, which
        could not be read, do not count; where all are such the losses are 0.
        """
        targets = [_target(*pair) for pair in zip(boxes, labels, strict=True)]
        read = [True] * len(targets) if extents_N2 is None else _have_extent(extents_N2)
        if not any(read):
            # Not a constant: each process has gradients of all parameters.
            losses = self.losses(images_NCHW, None, boxes, labels)
            return {name: 0 * loss for name, loss in losses.items()}
        if extents_N2 is not None and not all(read):
            images_NCHW, extents_N2 = images_NCHW[read], extents_N2[read]
            targets = [target for target, is_read in zip(targets, read, strict=True) if is_read]
        images, maps = _image_list(images_NCHW, extents_N2), self.maps(images_NCHW)
        self._set_stages(training=True)
        proposals, of_anchors = self.rpn(images, maps, targets)
        _, of_regions = self.roi_heads(maps, proposals, images.image_sizes, targets)
        self._set_stages(training=self.training)
        return {**of_anchors, **of_regions}

    @torch.no_grad()
    def detect(self, images_NCHW: Tensor, extents_N2: Tensor | None = None) -> list[Detections]:
        """Return the objects of each image, of classes from 0 to K - 1, in its extent."""
        images, maps = _image_list(images_NCHW, extents_N2), self.maps(images_NCHW)
        self._set_stages(training=False)
        proposals, _ = self.rpn(images, maps)
        results, _ = self.roi_heads(maps, proposals, images.image_sizes)
        self._set_stages(training=self.training)
        finite_N = torch.stack([m.isfinite().flatten(1).all(1) for m in maps.values()]).all(0)
        return [
            Detections(result["boxes"], result["labels"] - 1, result["scores"], finite)
            for result, finite in zip(results, finite_N.tolist(), strict=True)
        ]

    def _set_stages(self, *, training: bool) -> None:
        """Let torchvision's stages return losses or boxes; their layers keep their mode."""
        self.rpn.training = self.roi_heads.training = training

    def maps(self, images_NCHW: Tensor) -> OrderedDict[str, Tensor]:
        """Return the maps from which regions are proposed and pooled, in float32, by their names.

        With a pyramid the last, `pool`, only has proposals. The names of the others are `names`.
        """
        images_NCHW = self._padded(images_NCHW)
        maps = OrderedDict(zip(self.names, self._aligned(images_NCHW), strict=True))
        if self.pyramid is not None:
            maps = self.pyramid(maps)
        return OrderedDict((name, map_NCHW.float()) for name, map_NCHW in maps.items())

    def _padded(self, images_NCHW: Tensor) -> Tensor:
        """Return the images in a canvas whose sides are multiples of the largest stride."""
        # Then the sizes of all maps are exact quotients, whatever a network rounds, and a pixel of
        # a map of the pyramid lies on four of the next.
        height, width = images_NCHW.shape[-2:]
        bottom, right = -height % self.multiple, -width % self.multiple
        if not bottom and not right:
            return images_NCHW
        return functional.pad(images_NCHW, (0, right, 0, bottom))

    def _aligned(self, images_NCHW: Tensor) -> list[Tensor]:
        """Return the backbone's maps, those of unpadded convolutions with a border of zeros."""
        height, width = images_NCHW.shape[-2:]
        maps = []
        for map_NCHW, stride in zip(self.backbone(images_NCHW), self.strides, strict=True):
            rows = height // stride - map_NCHW.shape[-2]
            columns = width // stride - map_NCHW.shape[-1]
            if rows or columns:
                border = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
                map_NCHW = functional.pad(map_NCHW, border)
            maps.append(map_NCHW)
        return maps

    def _outputs_on_shapes(self, images_NCHW: Tensor) -> list[Tensor]:
        """Return the outputs of all layers, without real numbers.

        Of each image there are as many regions as are classified at most.
        """
        maps = self.maps(images_NCHW)
        objectness, offsets = self.rpn.head(list(maps.values()))
        # The level of a region depends on its values: here the first level is as good as any.
        pooled_RCHW = images_NCHW.new_empty(
            len(images_NCHW) * self.rpn.post_nms_top_n(),
            maps["0"].shape[1],
            *self.roi_heads.box_roi_pool.output_size,
        )
        pooled_RCHW = pooled_RCHW + sum(map_NCHW.mean() for map_NCHW in maps.values())
        logits, boxes = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled_RCHW))
        return [*objectness, *offsets, logits, boxes]


def _image_list(images_NCHW: Tensor, extents_N2: Tensor | None) -> ImageList:
    """Return images with their heights and widths, as torchvision takes them."""
    height, width = images_NCHW.shape[-2:]
    if extents_N2 is None:
        return ImageList(images_NCHW, [(height, width)] * len(images_NCHW))
    return ImageList(images_NCHW, [(int(h), int(w)) for h, w, *_ in extents_N2.tolist()])


def _have_extent(extents_N2: Tensor) -> list[bool]:
    """Tell which images are not empty."""
    return [bool(h and w) for h, w, *_ in extents_N2.tolist()]


def _target(boxes_M4: Tensor, labels_M: Tensor) -> dict[str, Tensor]:
    """Return the objects of an image as torchvision takes them: class 0 is the background."""
    boxes_M4 = boxes_M4.float()
    sides_M2 = boxes_M4[:, 2:] - boxes_M4[:, :2]
    real = (labels_M >= 0) & (sides_M2 > 0).all(1)
    return {"boxes": boxes_M4[real], "labels": labels_M[real].long() + 1}


def build_detector(
    config: DetectionConfig, model: ModelConfig, *, num_classes: int, seed: int
) -> Detector:
    """Build a detector of `num_classes` classes on the network of `model`, with initial values.

    The parameters of the backbone have the values that they have in the classifier of the same
    seed. Those that the maps do not need, such as the layers before a classifier, are frozen. In
    the form with a single map, a network whose last stage cannot be taken apart gets a two-layer
    head; a note says so. Torch's random state stays unchanged. Raises UserError as `build_network`,
    and for a network without maps of several sizes, or that does not take images of any size.
    """
    network = build_network(dataclasses.replace(model, num_classes=num_classes), seed=seed)
    name, image_shape = display_name(model), (model.in_channels, *TRIED_SIZE)
    levels = _levels(network, name)
    _require_any_size(Features(network, levels), name, image_shape)
    stage: tuple[nn.Module, ...] = ()
    stage_channels, notes = 0, []
    if config.features == "single":
        stage = stage_modules(network, image_shape)
        every = Features(network)
        stage_channels = every.feature_info.channels()[-1]
        levels = [len(every.indices) - 2]
        if not stage:
            reason = f"the last stage of {name} cannot be taken apart: two linear layers classify"
            notes = [Note("choice", None, reason)]
    with seeded_generator(seed_of(seed, "init:detector")):
        detector = Detector(
            config,
            Features(network, levels),
            num_classes=num_classes,
            stage=stage,
            stage_channels=stage_channels,
        )
    detector.notes = notes
    _initialise(detector, seed)
    _freeze_unused(detector, image_shape)
    return detector


def _levels(network: nn.Module, name: str) -> list[int]:
    try:
        return pyramid_levels(network)
    except UserError as error:
        raise UserError(f"{name}: {error.reason}", error.way_out) from error


def _require_any_size(features: Features, name: str, image_shape: tuple[int, int, int]) -> None:
    """Raise UserError for a network that is built for one image size."""
    try:
        maps_on_shapes(features, image_shape)
    except Exception as error:  # every network refuses in its own way
        height, width = image_shape[1:]
        raise UserError(
            f"{name} cannot be the backbone of a detector: it takes no image of {height}x{width} "
            f"px ({first_line(error)})",
            "take a network for images of any size, such as resnet50_d",
        ) from error


def _initialise(detector: Detector, seed: int) -> None:
    heads = detector.roi_heads
    uniform = [m for m in (detector.pyramid, heads.box_head) if m is not None]
    initialise_layers(detector, uniform, seed)
    initialise_layers(detector, [detector.rpn, heads.box_predictor.cls_score], seed, std=MEAN_STD)
    initialise_layers(detector, [heads.box_predictor.bbox_pred], seed, std=BOX_STD)


def _freeze_unused(detector: Detector, image_shape: tuple[int, int, int]) -> None:
    """Freeze the parameters that no output depends on; found on shapes alone."""
    # They would get no gradients, which torch's DistributedDataParallel takes for an error.
    parameters = dict(detector.named_parameters())
    shapes = {name: p.detach().to("meta").requires_grad_() for name, p in parameters.items()}
    buffers = {name: buffer.to("meta") for name, buffer in detector.named_buffers()}
    training = detector.training
    image = torch.empty(1, *image_shape, device="meta")
    outputs = functional_call(detector.eval(), {**shapes, **buffers}, (image,))
    detector.train(training)
    total = torch.stack([output.float().sum() for output in outputs]).sum()
    gradients = torch.autograd.grad(total, list(shapes.values()), allow_unused=True)
    for parameter, gradient in zip(parameters.values(), gradients, strict=True):
        if gradient is None:
            parameter.requires_grad_(False)
