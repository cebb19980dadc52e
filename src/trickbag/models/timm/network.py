"""Networks of timm: built by name, with the parts that a config puts into them."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trickbag.data.size import height_width, size_text
from trickbag.errors import DoesNotApply, UserError, first_line, memory_failure, shown
from trickbag.models.config import TimmConfig
from trickbag.models.init import seeded_generator
from trickbag.models.published import published
from trickbag.models.timm.residual_branches import Unfit
from trickbag.models.timm.surgery import add_anti_alias, add_attention, swap_activations
from trickbag.models.timm.trace import record
from trickbag.streams import seed_of

if TYPE_CHECKING:
    from trickbag.models.parts import BatchNorm

__all__ = [
    "FILLABLE",
    "Fillable",
    "fixes_image_size",
    "network_on_shapes",
    "require_drops",
    "timm_network",
    "try_part",
]

Fillable = Literal["activation", "attention", "anti_alias"]

FILLABLE: tuple[Fillable, ...] = ("activation", "attention", "anti_alias")
"""The slots of a `TimmConfig`, in the order in which they are filled."""

_TRICKS = {"drop_path_rate": "stochastic_depth", "drop_rate": "dropout"}
"""The tricks that set an option of timm."""


def timm_network(config: TimmConfig, seed: int) -> nn.Module:
    """Build a network of timm and put the parts of its config into it.

    timm's own network is built first, with timm's initialisation from `seed`, so that its initial
    values do not depend on the parts. What a part adds draws from streams of its own. Raises
    UserError if timm has no such network or cannot build it, and DoesNotApply if the network has no
    place for a part.
    """
    network = _without_parts(config, seed)
    for slot in FILLABLE:
        try:
            _fill(network, config, slot, seed)
        except Unfit as error:
            raise DoesNotApply(
                f"model.{slot} = {getattr(config, slot).kind}: timm:{config.name} has no place for "
                f"it: {error}",
                f"Leave the slot empty: --set model.{slot}=none",
            ) from error
    return network


@functools.lru_cache(maxsize=512)  # building a network of timm takes up to seconds
def try_part(config: TimmConfig, slot: Fillable) -> tuple[bool, str]:
    """Return whether filling a slot would change a network of timm, and why it cannot be filled.

    The reason is empty if it can. All other parts are left out, so that the answer does not depend
    on the order of tricks. Raises UserError if timm has no such network.
    """
    others: dict[str, Any] = {other: None for other in FILLABLE if other != slot}
    # These need places of their own, which a network may lack; they do not concern the part.
    others |= {"norm": None, "stochastic_depth": 0.0, "dropout": 0.0, "auxiliary_weight": None}
    config = dataclasses.replace(config, num_classes=config.num_classes or 1000, **others)
    network = network_on_shapes(config)
    try:
        shape = record(network)[-1].shape
    except Exception as error:  # every network refuses in its own way
        return False, f"it does not take an image on shapes alone ({first_line(error)})"
    try:
        changes = _fill(network, config, slot, seed=0)
    except Unfit as error:
        return False, str(error)
    try:
        fits = record(network)[-1].shape == shape
    except Exception:
        fits = False
    return changes > 0, "" if fits else "its parts no longer fit together with it"


@functools.lru_cache(maxsize=512)
def require_drops(name: str, *, stochastic_depth: float = 0.0, dropout: float = 0.0) -> None:
    """Raise DoesNotApply if a network of timm cannot drop residual branches or features."""
    network_on_shapes(
        TimmConfig(name=name, num_classes=1000, stochastic_depth=stochastic_depth, dropout=dropout)
    )


def _fill(network: nn.Module, config: TimmConfig, slot: Fillable, seed: int) -> int:
    """Fill a slot if the config has a part for it; return the number of changed places."""
    if slot == "activation":
        return 0 if config.activation is None else swap_activations(network, config.activation)
    if slot == "attention":
        return 0 if config.attention is None else add_attention(network, config.attention, seed)
    return 0 if config.anti_alias is None else add_anti_alias(network, config.anti_alias)


def network_on_shapes(config: TimmConfig) -> nn.Module:
    """Build a network without memory for its weights, if timm can."""
    try:
        with torch.device("meta"):
            return _without_parts(config, seed=0)
    except DoesNotApply:
        raise
    except (UserError, NotImplementedError):
        # Some networks compute with their weights as they are built, which needs real ones. If the
        # config is wrong, the second try fails in the same way.
        return _without_parts(config, seed=0)


def _without_parts(config: TimmConfig, seed: int) -> nn.Module:
    """Build a network as timm does; only the settings of its normalisations are the config's."""
    import timm

    if not timm.is_model(config.name):
        near = difflib.get_close_matches(config.name, timm.list_models(), n=4, cutoff=0.5)
        like = f"; near it are {', '.join(near)}" if near else ""
        raise UserError(
            f"timm has no network {config.name!r}{like}",
            "timm.list_models() lists all, timm:NAME takes one",
        )
    # Only what is not 0: some networks refuse these options, and a 0 would replace a default
    # of the network's own.
    drops = {"drop_path_rate": config.stochastic_depth, "drop_rate": config.dropout}
    options: dict[str, Any] = {name: prob for name, prob in drops.items() if prob}
    if config.image_size is not None:
        _require_fixed_size(config)
        options["img_size"] = height_width(config.image_size)
    network = _created(config, options, seed_of(seed, "init:timm"))
    if config.auxiliary_weight:
        network = _with_auxiliary(network, config, options, seed)
    if config.image_size is not None:
        # The size that others read from the network: `record` sends an image of it through.
        image_shape = (config.in_channels, *height_width(config.image_size))
        network.pretrained_cfg = {**network.pretrained_cfg, "input_size": image_shape}
        _require_patches(network, config)
    result: nn.Module = network
    _require_dropping(result, config)
    if config.norm is not None:
        _set_norms(result, config.norm, config.name)
    return result


def _created(config: TimmConfig, options: dict[str, Any], seed: int) -> Any:
    import timm

    with seeded_generator(seed):
        try:
            return timm.create_model(
                config.name,
                pretrained=False,
                num_classes=config.num_classes,
                in_chans=config.in_channels,
                **options,
            )
        except Exception as error:
            if failure := memory_failure(error):
                raise failure from error
            # Every family of timm refuses in its own way what it cannot be: a tag, a number of
            # channels, an option.
            raise _refusal(config, options, first_line(error)) from error


def _refusal(config: TimmConfig, options: dict[str, Any], reason: str) -> UserError:
    refused = [name for name in options if name in _TRICKS and name in reason]
    if refused:
        return _cannot_drop(config, refused[0])
    size = ""
    if config.image_size is not None:
        size = f", for images of {size_text(config.image_size)} px,"
    return UserError(
        f"timm cannot build {config.name}{size} with {config.num_classes} classes and "
        f"{config.in_channels} channels: {reason}",
        f"choose another network{', --image-size' if size else ''} or number of channels",
    )


def _with_auxiliary(network: Any, config: TimmConfig, options: dict[str, Any], seed: int) -> Any:
    """Return the network with its auxiliary head."""
    from timm.models.inception_v3 import InceptionV3

    from trickbag.models.timm.auxiliary import AuxiliaryInception

    if not isinstance(network, InceptionV3):
        raise UserError(
            f"model.auxiliary_weight = {config.auxiliary_weight:g}: timm:{config.name} has no "
            "auxiliary head",
            "--set model.auxiliary_weight=0",
        )
    # From a stream of its own: with and without it, all else has the same initial values.
    both = _created(config, {**options, "aux_logits": True}, seed_of(seed, "init:timm:auxiliary"))
    both.load_state_dict(network.state_dict(), strict=False)
    # timm creates networks by name, and has no option for their class.
    both.__class__ = AuxiliaryInception
    return both


def _require_fixed_size(config: TimmConfig) -> None:
    """Raise UserError if a network cannot be built for an image size."""
    if not fixes_image_size(config.name):
        raise UserError(
            f"model.image_size = {shown(config.image_size)}: timm:{config.name} is not built for "
            "one image size",
            "--set model.image_size=none, and --image-size for the size of the run",
        )


def fixes_image_size(name: str) -> bool:
    """Tell whether timm builds a network for one image size, which it takes as `img_size`."""
    # A wrong name or tag is an error when the network is built.
    of_timm = published(name)
    return of_timm is not None and of_timm.fixed_size


def _require_patches(network: nn.Module, config: TimmConfig) -> None:
    """Raise UserError if the patches of a network leave a border of its images out."""
    from timm.layers.patch_embed import PatchEmbed

    for module in network.modules():
        if not isinstance(module, PatchEmbed) or module.dynamic_img_pad or not module.img_size:
            continue
        sides = height_width(config.image_size or tuple(module.img_size))
        sizes = zip(sides, module.img_size, module.patch_size, strict=True)
        for side, pixels, patch in sizes:
            if pixels % patch:
                # In pixels of the image: some networks have layers before their patches.
                step = round(patch * side / pixels)
                below = side // step * step
                choices = f"{below} or {below + step}" if below else f"{step}"
                if isinstance(config.image_size, tuple):
                    choices = f"with {choices} for {side}"
                raise UserError(
                    f"timm:{config.name} divides an image into patches of {step}x{step} px, and "
                    f"{side} px are no multiple of {step}",
                    f"choose --image-size {choices}, or another network",
                )


def _require_dropping(network: nn.Module, config: TimmConfig) -> None:
    """Raise DoesNotApply if a network took an option to drop something, but ignores it."""
    from timm.layers import drop as timm_drop

    modules = list(network.modules())
    if config.stochastic_depth and not any(
        isinstance(module, timm_drop.DropPath) and module.drop_prob for module in modules
    ):
        raise _cannot_drop(config, "drop_path_rate")
    # Many heads drop by a function; the network then keeps the rate as an attribute.
    drops_features = getattr(network, "drop_rate", 0.0) or any(
        isinstance(module, nn.Dropout) and module.p for module in modules
    )
    if config.dropout and not drops_features:
        raise _cannot_drop(config, "drop_rate")


def _cannot_drop(config: TimmConfig, option: str) -> DoesNotApply:
    trick = _TRICKS[option]
    return DoesNotApply(
        f"{trick} does not apply to timm:{config.name}, which has no {option}",
        f"Choose another network, or take it out: --without {trick}",
    )


def _set_norms(network: nn.Module, norm: BatchNorm, name: str) -> None:
    """Give every batch normalisation the eps and momentum of `norm`."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        raise UserError(
            f"model.norm = {norm.kind}: timm's {name} has no batch normalisation",
            "--set model.norm=none",
        )
    for module in norms:
        module.eps, module.momentum = norm.eps, norm.momentum
