"""Class activation maps: how much each place of the last feature map speaks for a class.

The last map is what a network pools before its classifier. It is read from the structure that this
package's networks and those of timm have in common, `forward_features` and `forward_head`, never
from the name of a layer. Shapes: N images, P pairs of an image and a class, K classes, C channels,
H and W places of the map, L tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["METHODS", "CamUndefined", "Method", "activation_maps", "as_map", "last_features"]

Method = Literal["cam", "grad-cam"]

METHODS: tuple[Method, ...] = ("cam", "grad-cam")
"""Class activation maps (Zhou et al. 2016), and the gradient-weighted ones (Selvaraju et al. 2017).

For a network that ends in global average pooling and one linear layer they are equal, but that
Grad-CAM cuts off what is negative, and divides by the number of places.
"""

_TOLERANCE = 1e-3
"""How far logits may be from those of a pooled map and a linear layer, by the largest logit."""


class CamUndefined(UserError):
    """Report a network for which CAM is not defined."""


def activation_maps(
    network: nn.Module,
    images_NCHW: Tensor,
    pairs: Callable[[Tensor], tuple[Tensor, Tensor]],
    method: Method,
) -> tuple[Tensor, Tensor]:
    """Return the maps (P, H, W) of classes in images, and the logits (N, K), in float32.

    `network` is in evaluation mode, `images_NCHW` are normalised. `pairs` gets the logits and
    returns the images and the classes that maps are wanted for, each (P,). Raises UserError for a
    network without a last map of more than one place, or of which `method` is not defined.
    """
    with torch.no_grad():
        features = last_features(network, images_NCHW)
        as_map(network, features)  # raises where there is none, before anything else can
        logits_NK = _logits(network, features)
        places_P, classes_P = pairs(logits_NK)
        if method == "cam":
            maps_PHW = _cam(network, features, logits_NK, places_P, classes_P)
        else:
            maps_PHW = _grad_cam(network, features[places_P], classes_P)
    return maps_PHW.float(), logits_NK.float()


def last_features(network: nn.Module, images_NCHW: Tensor) -> Tensor:
    """Return the last features of images, in the layout of the network; `as_map` makes maps of it.

    Raises UserError for a network that cannot be divided there.
    """
    forward: Any = getattr(network, "forward_features", None)
    divides = forward is not None and hasattr(network, "forward_head")
    features = forward(images_NCHW) if divides else None
    if not isinstance(features, Tensor):
        raise UserError(
            f"{type(network).__name__} has no last feature map that a classifier follows",
            "take another network",
        )
    return features


def as_map(network: nn.Module, features: Tensor) -> Tensor:
    """Return features as a map (N, C, H, W): channels go first, and patch tokens to their places.

    Raises UserError for features that lie on no grid of more than one place.
    """
    name = type(network).__name__
    if features.ndim == 3:
        map_NCHW = _of_tokens(network, features)
    elif features.ndim != 4:
        raise UserError(
            f"the last features of {name} lie at no places: their shape is {tuple(features.shape)}",
            "take another network",
        )
    elif _channels_last(network, features):
        map_NCHW = features.permute(0, 3, 1, 2)
    else:
        map_NCHW = features
    height, width = map_NCHW.shape[2:]
    if height * width == 1:
        raise UserError(
            f"the last map of {name} has a single place for images of this size, so it cannot tell "
            "where a class is",
            "train with a larger --image-size, or with a network of a smaller stride",
        )
    return map_NCHW


def _channels_last(network: Any, features: Tensor) -> bool:
    # Networks of timm that have the channels behind say so, or have so many features.
    layout = getattr(network, "output_fmt", None)
    if layout is not None:
        return str(getattr(layout, "value", layout)) == "NHWC"
    channels = getattr(network, "num_features", features.shape[1])
    return bool(features.shape[1] != channels and features.shape[3] == channels)


def _of_tokens(network: Any, tokens_NLC: Tensor) -> Tensor:
    """Return the tokens of patches as a map; the class token and registers are left out."""
    first = int(getattr(network, "num_prefix_tokens", 0))
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    count = tokens_NLC.shape[1] - first
    if grid is None or grid[0] * grid[1] != count:
        raise UserError(
            f"the last {count} tokens of {type(network).__name__} are not those of its patches",
            "take another network",
        )
    patches = tokens_NLC[:, first:].transpose(1, 2)
    return patches.reshape(*patches.shape[:2], grid[0], grid[1])


def _logits(network: Any, features: Tensor) -> Tensor:
    logits = network.forward_head(features)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise UserError(f"{type(network).__name__} gives more than logits", "take another network")
    return logits


def _cam(
    network: Any, features: Tensor, logits_NK: Tensor, places_P: Tensor, classes_P: Tensor
) -> Tensor:
    """Zhou et al. 2016 (arXiv 1512.04150), equation 2: the map, weighted as the pooled one is."""
    map_NCHW = as_map(network, features)
    classifier = network.get_classifier() if hasattr(network, "get_classifier") else None
    weight = classifier.weight if isinstance(classifier, nn.Linear | nn.Conv2d) else None
    if weight is not None and weight[0].numel() == map_NCHW.shape[1]:
        weight_KC, bias = weight.flatten(1), getattr(classifier, "bias", None)
        expected_NK = nn.functional.linear(map_NCHW.mean((2, 3)), weight_KC, bias)
        # By its numbers, not its layers: a norm or another pooling may stand between.
        if expected_NK.shape == logits_NK.shape and _equal(expected_NK, logits_NK):
            return torch.einsum("pc,pchw->phw", weight_KC[classes_P], map_NCHW[places_P])
    raise CamUndefined(
        "CAM is defined for networks that end in global average pooling and one linear layer, and "
        f"{type(network).__name__} does not",
        "take Grad-CAM: --cam grad-cam",
    )


def _equal(expected_NK: Tensor, logits_NK: Tensor) -> bool:
    finite_N = logits_NK.isfinite().all(1)
    gap = (expected_NK - logits_NK)[finite_N].abs()
    return not gap.numel() or bool(gap.max() <= _TOLERANCE * logits_NK[finite_N].abs().max())


def _grad_cam(network: Any, features: Tensor, classes_P: Tensor) -> Tensor:
    """Selvaraju et al. 2017 (arXiv 1610.02391), equations 1 and 2, with the logit as the score."""
    features = features.detach().requires_grad_()
    with torch.enable_grad():
        # A copy: a head may begin with an activation that works in place.
        logits_PK = _logits(network, features.clone())
        score = logits_PK.gather(1, classes_P[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, features)
    gradient_PCHW = as_map(network, gradient)
    if features.ndim == 3 and not gradient_PCHW.any():
        raise UserError(
            f"{type(network).__name__} classifies by its class token alone, so that the tokens of "
            "its last layer tell nothing of places",
            "take a network that pools its tokens, or a convolutional one",
        )
    weights_PC11 = gradient_PCHW.mean((2, 3), keepdim=True)
    return (weights_PC11 * as_map(network, features.detach())).sum(1).relu()
