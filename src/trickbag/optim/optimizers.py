"""Optimizers as settings; called with parameter groups, they build the optimizer of torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from trickbag.errors import UserError, shown
from trickbag.ranges import Between, Fraction, Positive
from trickbag.settings import Settings

if TYPE_CHECKING:
    import torch

__all__ = ["SGD", "AdamW", "Optimizer", "RMSProp", "TimmOptimizer"]

Groups = Iterable[dict[str, Any]]
BelowOne = Between(0, 1, open_high=True)


@dataclass(frozen=True, kw_only=True)
class SGD(Settings):
    """Stochastic gradient descent with momentum.

    Nesterov's form (NAG) is the baseline of He et al. 2018, section 2.1. Assemble-ResNet trains
    without it.
    """

    kind: ClassVar[str] = "sgd"
    momentum: Annotated[float, BelowOne] = 0.9
    nesterov: bool = True

    @property
    def values_of_state(self) -> int:
        """The numbers that it keeps for each weight: the momentum."""
        return 1 if self.momentum > 0 else 0

    def __call__(self, groups: Groups, lr: float, *, fused: bool) -> torch.optim.Optimizer:
        """Build the optimizer of parameter groups; `fused` updates all parameters in one kernel."""
        import torch

        # torch refuses Nesterov's form without momentum.
        nesterov = self.nesterov and self.momentum > 0
        optimizer = torch.optim.SGD(
            groups, lr=lr, momentum=self.momentum, nesterov=nesterov, fused=fused
        )
        if fused and self.momentum > 0:
            # If fp16 overflows in the very first step, torch skips the step, but keeps momentum
            # buffers that it has allocated and never filled.
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer


@dataclass(frozen=True, kw_only=True)
class RMSProp(Settings):
    """RMSProp in TensorFlow's form, as EfficientNet trains.

    Epsilon is inside the root, and the mean of squares starts at one.
    """

    kind: ClassVar[str] = "rmsprop"
    alpha: Annotated[float, BelowOne] = 0.9
    momentum: Annotated[float, BelowOne] = 0.9
    eps: Annotated[float, Positive] = 1e-3

    @property
    def values_of_state(self) -> int:
        """The numbers that it keeps for each weight: the mean square, and the momentum."""
        return 2 if self.momentum > 0 else 1

    def __call__(self, groups: Groups, lr: float, *, fused: bool) -> torch.optim.Optimizer:
        """Build the optimizer of parameter groups; it has no fused form."""
        # timm's: torch's RMSprop adds epsilon to the root, and its squares start at zero.
        from timm.optim.rmsprop_tf import RMSpropTF

        return RMSpropTF(groups, lr=lr, alpha=self.alpha, momentum=self.momentum, eps=self.eps)


@dataclass(frozen=True, kw_only=True)
class AdamW(Settings):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), usual for fine-tuning."""

    kind: ClassVar[str] = "adamw"
    beta1: Annotated[float, BelowOne] = 0.9
    beta2: Annotated[float, Fraction] = 0.999
    eps: Annotated[float, Positive] = 1e-8

    @property
    def values_of_state(self) -> int:
        """The numbers that it keeps for each weight: the two moments."""
        return 2

    def __call__(self, groups: Groups, lr: float, *, fused: bool) -> torch.optim.Optimizer:
        """Build the optimizer of parameter groups; `fused` updates all parameters in one kernel."""
        import torch

        return torch.optim.AdamW(
            groups, lr=lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=fused
        )


@dataclass(frozen=True, kw_only=True)
class TimmOptimizer(Settings):
    """An optimizer of timm by its `name` there: `lamb`, `nadamw`, `lion`, `muon`, `adan`, ...

    `settings` are its own, as pairs of name and value; those that are left out are as
    `timm.optim.create_optimizer_v2` sets them. Names and settings are checked when a run is
    settled, against the version of timm that is installed.
    """

    kind: ClassVar[str] = "timm"
    further: ClassVar[str] = "settings"
    name: str
    settings: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        values = {name: _plain_value(name, value) for name, value in self.settings}
        # Sorted, so that the order in a file or on a command line makes no other recipe.
        object.__setattr__(self, "settings", tuple(sorted(values.items())))

    def check(self, path: str) -> None:
        """Raise UserError, naming `path`, for an optimizer or a setting that timm has not."""
        from trickbag.optim.timm_optimizers import require_optimizer

        require_optimizer(self.name, dict(self.settings), path)

    @cached_property
    def values_of_state(self) -> int:
        """The numbers that it keeps for each weight."""
        from trickbag.optim.timm_optimizers import state_size

        return state_size(self.name, dict(self.settings))

    def __call__(self, groups: Groups, lr: float, *, fused: bool) -> torch.optim.Optimizer:
        """Build the optimizer of parameter groups; timm chooses how it is computed."""
        from trickbag.optim.timm_optimizers import build_optimizer

        return build_optimizer(self.name, dict(self.settings), groups, lr)


def _plain_value(name: str, value: object) -> object:
    """Return a value of a setting as JSON holds it, lists as tuples; UserError for another."""
    if isinstance(value, list | tuple):
        return tuple(_plain_value(name, item) for item in value)
    # Infinity and NaN, which JSON has not, are not within these.
    is_number = isinstance(value, int | float) and abs(value) <= sys.float_info.max
    if value is None or isinstance(value, bool | str) or is_number:
        return value
    raise UserError(
        f"timm.{name} = {shown(value)}: must be a number, true, false, a text, none, or a list"
    )


Optimizer = SGD | RMSProp | AdamW | TimmOptimizer
