"""Networks of timm: built by name, with the parts that a config puts into them."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trickbag.errors import DoesNotApply, UserError
from trickbag.models.config import TimmConfig
from trickbag.models.init import seeded_generator
from trickbag.models.timm.residual_branches import Unfit
from trickbag.models.timm.surgery import add_anti_alias, add_attention, swap_activations
from trickbag.models.timm.trace import record
from trickbag.streams import seed_of

if TYPE_CHECKING:
    from trickbag.models.parts import BatchNorm

__all__ = ["FILLABLE", "Fillable", "fits", "require_drops", "timm_network"]

Fillable = Literal["activation", "attention", "anti_alias"]

FILLABLE: tuple[Fillable, ...] = ("activation", "attention", "anti_alias")
"""The slots of a `TimmConfig`, in the order in which they are filled."""


def timm_network(config: TimmConfig, seed: int) -> nn.Module:
    """Build a network of timm, with timm's initialisation from `seed`, and put the parts of its config into it.

    What timm builds is built first, so that its initial values are the same whatever is put into
    it; what is added draws from streams of its own. Raises UserError where timm has no such network
    or cannot build it so, and DoesNotApply where it has no place for a part.
    """
    network = _plain(config, seed)
    for slot in FILLABLE:
        try:
            _fill(network, config, slot, seed)
        except Unfit as error:
            raise DoesNotApply(
                f"model.{slot} = {getattr(config, slot).kind}: timm:{config.name} has no place for "
                f"it: {error}; "
                f"--set model.{slot}=none"
            ) from error
    return network


@functools.lru_cache(maxsize=512)
def fits(config: TimmConfig, slot: Fillable) -> tuple[bool, str]:
    """Tell whether filling a slot of a network of timm would change it, and if it cannot be filled, why not.

    Whatever else is put into it is left out for this, so that the answer does not depend on the
    order of tricks. Raises UserError where timm has no such network.
    """
    others: dict[str, Any] = {other: None for other in FILLABLE if other != slot}
    others |= {"norm": None, "stochastic_depth": 0.0, "dropout": 0.0}
    config = dataclasses.replace(config, num_classes=config.num_classes or 1000, **others)
    network = _on_shapes(config)
    try:
        before = record(network)[-1].shape
    except Exception as error:  # every network refuses in its own way
        return False, f"it does not take an image on shapes alone ({_reason(error)})"
    try:
        changes = _fill(network, config, slot, seed=0)
    except Unfit as error:
        return False, str(error)
    try:
        fitting = record(network)[-1].shape == before
    except Exception:
        fitting = False
    return changes > 0, "" if fitting else "its parts no longer fit together with it"


@functools.lru_cache(maxsize=512)
def require_drops(name: str, *, stochastic_depth: float = 0.0, dropout: float = 0.0) -> None:
    """Raise DoesNotApply where a network of timm cannot drop its residual branches, or features
    before its head."""
    _on_shapes(
        TimmConfig(name=name, num_classes=1000, stochastic_depth=stochastic_depth, dropout=dropout)
    )


def _fill(network: nn.Module, config: TimmConfig, slot: Fillable, seed: int) -> int:
    """Fill one slot, if the config has something for it; return the number of places that were
    changed."""
    if slot == "activation":
        return 0 if config.activation is None else swap_activations(network, config.activation)
    if slot == "attention":
        return 0 if config.attention is None else add_attention(network, config.attention, seed)
    return 0 if config.anti_alias is None else add_anti_alias(network, config.anti_alias)


def _on_shapes(config: TimmConfig) -> nn.Module:
    """Build a network without memory for its weights, where timm can."""
    try:
        with torch.device("meta"):
            return _plain(config, seed=0)
    except DoesNotApply:
        raise
    except (
        UserError,
        NotImplementedError,
    ):  # some compute with weights as they are built; a wrong config fails again
        return _plain(config, seed=0)


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _plain(config: TimmConfig, seed: int) -> nn.Module:
    """Build a network as timm makes it, but for its normalisation."""
    import timm
    from timm.layers.drop import DropPath

    if not timm.is_model(config.name):
        near = difflib.get_close_matches(config.name, timm.list_models(), n=4, cutoff=0.5)
        like = f"; near it are {', '.join(near)}" if near else ""
        raise UserError(
            f"timm has no network {config.name!r}{like}; timm.list_models() lists all, timm:NAME "
            f"takes one"
        )
    drops = {"drop_path_rate": config.stochastic_depth, "drop_rate": config.dropout}
    given: dict[str, Any] = {name: prob for name, prob in drops.items() if prob}
    with seeded_generator(seed_of(seed, "init:timm")):
        try:
            network: nn.Module = timm.create_model(
                config.name,
                pretrained=False,
                num_classes=config.num_classes,
                in_chans=config.in_channels,
                **given,
            )
        except Exception as error:
            # Every family of timm refuses in its own way what it cannot be: a tag, a number of
            # channels.
            reason = _reason(error)
            refused = [name for name in given if name in reason]
            if refused:
                raise _cannot_drop(config, refused[0]) from error
            raise UserError(
                f"timm cannot build {config.name} with {config.num_classes} classes and "
                f"{config.in_channels} channels: "
                f"{reason}; choose another network or number of channels"
            ) from error
    drops_paths = any(
        isinstance(module, DropPath) and module.drop_prob for module in network.modules()
    )
    drops_features = any(
        isinstance(module, nn.Dropout) and module.p for module in network.modules()
    )
    if config.stochastic_depth and not drops_paths:
        raise _cannot_drop(config, "drop_path_rate")
    if config.dropout and not drops_features and not getattr(network, "drop_rate", 0.0):
        raise _cannot_drop(config, "drop_rate")
    if config.norm is not None:
        _set_norms(network, config.norm, config.name)
    return network


def _cannot_drop(config: TimmConfig, option: str) -> DoesNotApply:
    trick = {"drop_path_rate": "stochastic_depth", "drop_rate": "dropout"}[option]
    return DoesNotApply(
        f"{trick} does not apply to timm:{config.name}, which has no {option}. "
        f"Choose another network, or take it out: --without {trick}"
    )


def _set_norms(network: nn.Module, norm: BatchNorm, name: str) -> None:
    """Give every batch normalisation the eps and momentum of `norm`."""
    found = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not found:
        raise UserError(
            f"model.norm = {norm.kind}: timm's {name} has no batch normalisation; --set "
            f"model.norm=none"
        )
    for module in found:
        module.eps, module.momentum = norm.eps, norm.momentum
