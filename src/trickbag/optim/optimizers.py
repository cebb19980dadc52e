"""Optimizers as values: each is settings and, called with parameter groups, the optimizer
itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from trickbag.settings import Between, Fraction, Positive, Settings

if TYPE_CHECKING:
    import torch

__all__ = ["SGD", "AdamW", "Optimizer", "RMSProp"]

Groups = Iterable[dict[str, Any]]
BelowOne = Between(0, 1, open_high=True)


@dataclass(frozen=True, kw_only=True)
class SGD(Settings):
    """Stochastic gradient descent with momentum; Nesterov's form (NAG) is the paper's baseline (section 2.1).

    Assemble-ResNet trains without Nesterov.
    """

    kind: ClassVar[str] = "sgd"
    momentum: Annotated[float, BelowOne] = 0.9
    nesterov: bool = True

    def __call__(self, groups: Groups, lr: float, *, fused: bool) -> torch.optim.Optimizer:
        """Build the optimizer of parameter groups; `fused` updates all parameters in one kernel."""
        import torch

        nesterov = self.nesterov and self.momentum > 0
        optimizer = torch.optim.SGD(
            groups, lr=lr, momentum=self.momentum, nesterov=nesterov, fused=fused
        )
        if fused and self.momentum > 0:
            # Where fp16 overflows in the very first step, torch skips it but keeps buffers that
            # were never filled.
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer


@dataclass(frozen=True, kw_only=True)
class RMSProp(Settings):
    """RMSProp in TensorFlow's form, as EfficientNet trains: epsilon inside the root, squares that
    start at one."""

    kind: ClassVar[str] = "rmsprop"
    alpha: Annotated[float, BelowOne] = 0.9
    momentum: Annotated[float, BelowOne] = 0.9
    eps: Annotated[float, Positive] = 1e-3

    def __call__(self, groups: Groups, lr: float, *, fused: bool) -> torch.optim.Optimizer:
        """Build the optimizer of parameter groups; it has no fused form."""
        from timm.optim.rmsprop_tf import RMSpropTF

        return RMSpropTF(groups, lr=lr, alpha=self.alpha, momentum=self.momentum, eps=self.eps)


@dataclass(frozen=True, kw_only=True)
class AdamW(Settings):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), the usual choice for
    fine-tuning."""

    kind: ClassVar[str] = "adamw"
    beta1: Annotated[float, BelowOne] = 0.9
    beta2: Annotated[float, Fraction] = 0.999
    eps: Annotated[float, Positive] = 1e-8

    def __call__(self, groups: Groups, lr: float, *, fused: bool) -> torch.optim.Optimizer:
        """Build the optimizer of parameter groups; `fused` updates all parameters in one kernel."""
        import torch

        return torch.optim.AdamW(
            groups, lr=lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=fused
        )


Optimizer = SGD | RMSProp | AdamW
