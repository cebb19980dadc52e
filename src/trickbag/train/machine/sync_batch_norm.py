"""Batch normalisations that take their statistics over all processes of a run."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from trickbag.errors import RunFailed
from trickbag.functional.batch_norm import shared_batch_norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from trickbag.functional.batch_norm import Gather

__all__ = ["synchronize"]


def synchronize(network: nn.Module, gather: Gather) -> None:
    """Let each batch normalisation of a network normalise, in training, by all processes' maps.

    Subclasses of torch's layers, such as timm's with an activation, keep all else that they do.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            # The class and not the layer is replaced, so that names, hooks and state stay.
            cls: Any = type(module)
            module.__class__ = _synchronized(cls)
            module._gather = gather  # type: ignore[assignment]


@cache
def _synchronized(cls: Any) -> Any:
    """Return the class of layers that are as those of `cls`, with statistics of all processes."""

    def forward(self: Any, maps_NC: Tensor) -> Any:
        if not self.training:
            return cls.forward(self, maps_NC)
        with _SharedStatistics(self._gather) as shared:
            output = cls.forward(self, maps_NC)
        if shared.calls != 1:
            raise RunFailed(
                f"{cls.__name__} normalises {shared.calls} times in a pass, by no function of "
                "torch that is known",
                "--set training.sync_batch_norm=false",
            )
        return output

    return type(cls.__name__, (cls,), {"forward": forward, "__doc__": cls.__doc__})


class _SharedStatistics(TorchFunctionMode):
    """Replaces torch's batch normalisation in the block, and counts its calls."""

    def __init__(self, gather: Gather) -> None:
        super().__init__()
        self.gather, self.calls = gather, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is not functional.batch_norm:
            return func(*args, **(kwargs or {}))
        self.calls += 1
        return _shared(self.gather, *args, **(kwargs or {}))


def _shared(
    gather: Gather,
    input: Tensor,  # noqa: A002  (torch's name)
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Do what `torch.nn.functional.batch_norm` does, whose arguments these are."""
    assert training  # in evaluation the layer's own function is called
    return shared_batch_norm(
        input, running_mean, running_var, weight, bias, momentum=momentum, eps=eps, gather=gather
    )
