"""Weights of a network of timm, made to fit the same network of another image size.

The tables of positions of such a network have an entry for each place of its images. timm resamples
them by a function of each family. An auxiliary head, which takes part in training alone, may be
missing in the weights, or in the network.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from trickbag.data.size import Size, height_width, size_text
from trickbag.errors import Note, UserError, first_line
from trickbag.models.init import is_norm
from trickbag.models.mismatch import shape_text

__all__ = ["FittingTensors", "fit_tensors"]

_TOKENS = 8
"""Entries of a table of positions beside those of places: class, distillation, registers."""

_TABLE_DIMENSIONS = 3
"""Of a table of positions: 1, places, channels."""


class FittingTensors(NamedTuple):
    """Weights by name that fit; the names of those of the network that stay; what changed."""

    tensors: Mapping[str, Tensor]
    fresh: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()


def fit_tensors(
    network: nn.Module, tensors: Mapping[str, Tensor], origin: str, size: Size | None = None
) -> FittingTensors:
    """Return weights for a network's image size and auxiliary head.

    Tables of positions are resampled by timm. `size` is that of the images of the weights; None is
    any square. Tensors of an auxiliary head that the network has not are left out; one that the
    weights have not stays as it is. What else does not fit is returned as it is. Raises UserError
    if timm cannot resample the tables; it names `origin`.
    """
    # A network of timm has a config of its published weights.
    if getattr(network, "pretrained_cfg", None) is None:
        return FittingTensors(tensors)
    fitting = _with_auxiliary(network, tensors, origin)
    tables = _tables_of_another_size(network, fitting.tensors)
    reshaped = _tables_of_another_shape(network, fitting.tensors, size)
    tables += reshaped
    if not tables:
        return fitting
    present, given = network.state_dict(), fitting.tensors
    resampled = _resampled(network, given, origin, size)
    for name in tables:
        before, now = shape_text(given[name].shape), shape_text(present[name].shape)
        if name not in resampled or resampled[name].shape != present[name].shape:
            raise _not_resampled(network, origin, f"its {name} is {before} for {now}")
        same = name in reshaped and torch.equal(resampled[name], given[name])
        if same and not torch.equal(given[name], given[name][:, :1].expand_as(given[name])):
            raise _not_resampled(network, origin, f"its {name} stays as it is")
    example = tables[0]
    before, now = shape_text(given[example].shape), shape_text(present[example].shape)
    more = f" and {len(tables) - 1} more" if len(tables) > 1 else ""
    another = f"size: timm resampled its {example} from {before} to {now}{more}"
    if before == now:
        another = f"shape: timm resampled its {example}{more}"
    note = Note("weights", None, f"{origin} is for images of another {another}")
    return fitting._replace(
        tensors={**given, **{name: resampled[name] for name in tables}},
        notes=(*fitting.notes, note),
    )


def _with_auxiliary(
    network: nn.Module, tensors: Mapping[str, Tensor], origin: str
) -> FittingTensors:
    from timm.models.inception_v3 import InceptionV3

    if not isinstance(network, InceptionV3):
        return FittingTensors(tensors)
    # timm's name of the head, which is None in a network without it.
    prefix = "AuxLogits."
    given = {name for name in tensors if name.startswith(prefix)}
    present = {name for name in network.state_dict() if name.startswith(prefix)}
    if given and not present:
        reason = f"{origin} has an auxiliary head, which this network has not"
        body = {name: tensor for name, tensor in tensors.items() if name not in given}
        return FittingTensors(body, notes=(Note("weights", None, reason),))
    if present and not given:
        reason = f"the auxiliary head starts anew: {origin} has none"
        return FittingTensors(tensors, frozenset(present), (Note("weights", None, reason),))
    return FittingTensors(tensors)


def _tables_of_another_size(network: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors of another shape that are no weights of layers; none of another network."""
    present = network.state_dict()
    reshaped = [
        name
        for name, tensor in present.items()
        if name in tensors and tensor.shape != tensors[name].shape
    ]
    of_layers = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in network.named_modules()
        if isinstance(module, _ConvNd | nn.Linear) or is_norm(module)
        for name, _ in module.named_parameters(recurse=False)
    }
    # A classifier for other classes differs in its first dimension alone. Any other weight of
    # another shape is of another network, and no question of image size.
    if any(
        present[name].shape[1:] != tensors[name].shape[1:] for name in reshaped if name in of_layers
    ):
        return []
    return [name for name in reshaped if name not in of_layers]


def _tables_of_another_shape(
    network: nn.Module, tensors: Mapping[str, Tensor], size: Size | None
) -> list[str]:
    """Name the tables of as many places as in the weights, whose images have another shape.

    14 x 14 places are as many as 7 x 28, and other ones.
    """
    # timm takes long to import, and only its networks get here.
    from timm.layers.patch_embed import PatchEmbed

    names = []
    for embedding in (module for module in network.modules() if isinstance(module, PatchEmbed)):
        if not embedding.img_size or not embedding.grid_size or not embedding.num_patches:
            continue
        height, width = height_width(size) if size is not None else (1, 1)
        rows, columns = embedding.grid_size
        if height * columns == width * rows:
            continue
        # Beside the places a table can have entries for tokens of its own, such as the class.
        counts = range(embedding.num_patches, embedding.num_patches + _TOKENS)
        names += [
            name
            for name, parameter in network.named_parameters()
            if parameter.ndim == _TABLE_DIMENSIONS
            and parameter.shape[1] in counts
            and name in tensors
            and tensors[name].shape == parameter.shape
        ]
    return names


def _resampled(
    network: nn.Module, tensors: Mapping[str, Tensor], origin: str, size: Size | None
) -> Mapping[str, Tensor]:
    """Return the weights as the function of timm's family changes them."""
    module: Any = sys.modules[type(network).__module__]
    resample = getattr(module, "checkpoint_filter_fn", None)
    if resample is None:
        return {}
    # The other families take the places of weights for a square.
    if isinstance(size, tuple) and not hasattr(module, "get_pretrained_grid_size"):
        reason = f"those of the weights are for images of {size_text(size)} px"
        raise _not_resampled(network, origin, reason)
    of_timm: Any = network
    config = of_timm.pretrained_cfg
    try:
        with warnings.catch_warnings():
            # On how timm's functions index, which no user can change.
            warnings.simplefilter("ignore")
            if size is not None:
                # From here timm knows the places of the weights.
                shape = (config["input_size"][0], *height_width(size))
                of_timm.pretrained_cfg = {**config, "input_size": shape}
            result: Mapping[str, Tensor] = resample(dict(tensors), network)
    except Exception as error:  # each family fails in its own way
        raise _not_resampled(network, origin, first_line(error)) from error
    finally:
        of_timm.pretrained_cfg = config
    return result


def _not_resampled(network: nn.Module, origin: str, reason: str) -> UserError:
    return UserError(
        f"{origin} is for images of another size, and timm cannot resample the tables of positions "
        f"of {type(network).__name__}: {reason}",
        "choose the --image-size of the weights, or start without them",
    )
