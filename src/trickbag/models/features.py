"""The feature maps of a network in place of its logits, for detection and segmentation.

This package's networks and those of timm give them in the same way. Shapes: N images, C channels, H
and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trickbag.errors import UserError
from trickbag.models.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["FeatureInfo", "Features", "maps_on_shapes", "pyramid_levels", "stage_modules"]

_PYRAMID_LEVELS = 4


class FeatureInfo:
    """Facts about each map that a network returns, with timm's method names."""

    def __init__(self, levels: Iterable[dict[str, Any]]) -> None:
        self.levels = list(levels)

    def channels(self) -> list[int]:
        """List the number of channels of each map."""
        return [int(level["num_chs"]) for level in self.levels]

    def reduction(self) -> list[int]:
        """List the pixels of the image on each side of one pixel of each map."""
        return [int(level["reduction"]) for level in self.levels]

    def module_name(self) -> list[str]:
        """List the names of the modules whose outputs the maps are."""
        return [str(level["module"]) for level in self.levels]


class Features(nn.Module):
    """A network that returns the feature maps of some of its levels, from large to small.

    `out_indices` count the levels from 0, next to the image, or from -1, the last; None means all.
    In a ResNet level 0 is the stem up to its activation, levels 1 to 4 are the stages. Images (N,
    C, H, W) become maps (N, `feature_info.channels()[i]`, H / `feature_info.reduction()[i]`, W /
    the same). `network` is the wrapped network; it loses its classifier.

    Where H is no multiple of the reduction, the maps of this package's networks have one row more:
    the quotient is rounded up, but for the average pool in place of a stem's max-pool
    (`resnetaa50d`), which may round down. Most of timm's networks round up too. Those that divide
    the image into patches or pool without padding round down (ConvNeXt, DenseNet, VGG), and a few
    that add maps of several sizes refuse such an image (HRNet, DLA). At multiples of the largest
    reduction all of these are alike. Convolutions without padding cost Inception and Xception one
    to four rows more at any size.

    Raises UserError for a level that does not exist, and for a network without feature maps.
    """

    def __init__(self, network: nn.Module, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        levels = getattr(network, "feature_info", None)
        reset_classifier = getattr(network, "reset_classifier", None)
        if not levels or reset_classifier is None:
            raise UserError(
                f"{type(network).__name__} has no feature maps by level", "take another network"
            )
        valid = range(-len(levels), len(levels))
        chosen = range(len(levels)) if out_indices is None else out_indices
        if not chosen or any(index not in valid for index in chosen):
            raise UserError(
                f"out_indices = {list(chosen)}: must name at least one level, from 0 to "
                f"{len(levels) - 1}, or from -1 down to count from the last"
            )
        # It would get no gradients, which torch's DistributedDataParallel takes for an error.
        reset_classifier(0)
        self.network: Any = network
        self.indices = sorted({index % len(levels) for index in chosen})
        self.feature_info = FeatureInfo(levels[index] for index in self.indices)

    def forward(self, images_NCHW: Tensor) -> list[Tensor]:
        """Return the maps of normalised images; nothing behind the last one is computed."""
        if isinstance(self.network, Classifier):
            maps = self.network.forward_levels(images_NCHW, self.indices[-1] + 1)
            return [maps[index] for index in self.indices]
        maps = self.network.forward_intermediates(
            images_NCHW, indices=self.indices, intermediates_only=True, stop_early=True
        )
        return list(maps)


def pyramid_levels(network: nn.Module) -> list[int]:
    """List the levels of a network whose maps a feature pyramid takes, from large to small.

    They are at most four, of which each is half as large as the one before: of the network's last
    four levels, without those that have the size of the next. In a ResNet they are the stages.
    Raises UserError for a network without maps of several sizes, as a plain vision transformer.
    """
    levels = list(getattr(network, "feature_info", None) or [])
    reductions = [int(level["reduction"]) for level in levels]
    chosen: list[int] = []
    for level in range(len(levels) - 1, max(-1, len(levels) - 1 - _PYRAMID_LEVELS), -1):
        if not chosen or reductions[chosen[0]] == 2 * reductions[level]:
            chosen.insert(0, level)
        elif reductions[chosen[0]] != reductions[level]:
            break
    if len(chosen) < 2:
        raise UserError(
            f"{type(network).__name__} has no feature maps of several sizes, each half as large as "
            "the one before",
            "take a convolutional network, such as resnet50_d",
        )
    return chosen


def stage_modules(network: nn.Module, image_shape: tuple[int, int, int]) -> tuple[nn.Module, ...]:
    """List the modules that lead from the map of the last but one level to that of the last.

    Called one after the other, they are a network of their own. Empty where a network of timm
    computes the last level in another way. That is found on shapes alone, with an image of
    `image_shape` (C, H, W).
    """
    if isinstance(network, Classifier):
        return network.levels()[-1].modules
    features = Features(network)
    names = _siblings(network, *features.feature_info.module_name()[-2:])
    modules = tuple(network.get_submodule(name) for name in names)
    inputs: dict[nn.Module, Any] = {}
    outputs: dict[nn.Module, Any] = {}

    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        inputs[module], outputs[module] = args, output

    handles = [module.register_forward_hook(note) for module in modules]
    try:
        *_, before, last = maps_on_shapes(features, image_shape)
    finally:
        for handle in handles:
            handle.remove()
    x = before
    for module in modules:
        # The same tensor: nothing else was done to it.
        if module not in inputs or len(inputs[module]) != 1 or inputs[module][0] is not x:
            return ()
        x = outputs[module]
    return modules if x is last else ()


def _siblings(network: nn.Module, before: str, last: str) -> list[str]:
    """List the modules after `before` up to `last` that are children of one module."""
    parent, _, _ = last.rpartition(".")
    owner = network.get_submodule(parent)
    names = [f"{parent}.{name}".lstrip(".") for name, _ in owner.named_children()]
    if before not in names or last not in names:
        return []
    return names[names.index(before) + 1 : names.index(last) + 1]


def maps_on_shapes(features: Features, image_shape: tuple[int, int, int]) -> list[Tensor]:
    """Return the maps of one image (C, H, W) in evaluation mode, on the device `meta`.

    Nothing is computed, and the network is left unchanged. Raises what the network raises for an
    image that it does not take.
    """
    # Each module's own mode: a network in training can have frozen parts in evaluation mode.
    modes = [(module, module.training) for module in features.modules()]
    state = {**dict(features.named_parameters()), **dict(features.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    features.eval()
    try:
        with torch.no_grad():
            image = torch.empty(1, *image_shape, device="meta")
            maps: list[Tensor] = functional_call(features, shapes, (image,))
    finally:
        for module, training in modes:
            module.training = training
    return maps
