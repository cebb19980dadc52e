"""The calls that a network makes, recorded while an image passes through it on shapes alone.

The structure of a network of another library is read from this record, by the types of its modules
and the shapes between them. So no names that a library gives to its modules have to be known.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TracedCall", "evaluating", "made_for_shape", "record"]

_IMAGE = (224, 224)


@dataclass(eq=False, repr=False)
class TracedCall:
    """A call of a module without children, or one operation of a module that has some.

    `place` counts the calls in their order. `module` is the innermost module that computes it, None
    for the image itself. `operations` are torch's names of what was computed (`convolution`,
    `add`), without the underscore of those that work in place. `inputs` are the calls whose results
    it takes, without parameters and constants; `users` are the calls that take its result. `shape`
    is the shape of the result.
    """

    place: int
    module: nn.Module | None
    operations: list[str] = field(default_factory=list)
    inputs: list[TracedCall] = field(default_factory=list)
    users: list[TracedCall] = field(default_factory=list)
    shape: tuple[int, ...] = ()

    def __repr__(self) -> str:
        kind = "image" if self.module is None else type(self.module).__name__
        return f"TracedCall({self.place}, {kind}, {'+'.join(self.operations)}, {self.shape})"


def record(network: nn.Module, image_shape: tuple[int, int, int] | None = None) -> list[TracedCall]:
    """Return the calls of a network in evaluation mode, in their order, the image first.

    One image passes through on shapes alone, so that nothing is computed. Its `image_shape` (C, H,
    W) is by default that of `made_for_shape`. The network is left unchanged. Layers that do nothing
    in evaluation, such as dropout, make no call. Raises any exception that the network raises.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    dtype = next(
        (tensor.dtype for tensor in shapes.values() if tensor.is_floating_point()),
        torch.get_default_dtype(),
    )
    image = torch.empty(1, *(image_shape or made_for_shape(network)), dtype=dtype, device="meta")
    recorder = _Recorder(image)
    with evaluating(network), _hooked(network, recorder), torch.no_grad(), recorder:
        functional_call(network, shapes, (image,))
    return recorder.calls


def made_for_shape(network: nn.Module) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of the images that a network says it is made for, else 224 px."""
    channels = next((m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d)), 3)
    published: Any = getattr(network, "pretrained_cfg", None) or {}
    height, width = tuple(published.get("input_size", ()))[1:] or _IMAGE
    return channels, height, width


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Set a network to evaluation mode within the block."""
    # Each module's own mode: a network in training can have frozen parts in evaluation mode.
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _hooked(network: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Let the recorder know when the forward pass of each module begins and ends."""
    handles = []
    for module in network.modules():
        handles += [
            module.register_forward_pre_hook(partial(_enter, recorder)),
            module.register_forward_hook(partial(_leave, recorder)),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _enter(recorder: _Recorder, module: nn.Module, inputs: object) -> None:
    recorder.running.append(_RunningModule(module))


def _leave(recorder: _Recorder, module: nn.Module, inputs: object, output: object) -> None:
    recorder.running.pop()


class _RunningModule:
    """A module whose forward pass has begun and has not ended.

    All operations of a module without children belong to one call, `call`.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.is_leaf = not any(True for _ in module.children())
        self.call: TracedCall | None = None


class _Recorder(TorchDispatchMode):
    """Records which operation, in which module, computes each tensor from which others."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own has no types
        self.calls = [TracedCall(place=0, module=None, shape=tuple(image.shape))]
        self.running: list[_RunningModule] = []
        self._sources = {id(image): self.calls[0]}
        # Kept alive, because the id of a freed tensor can be given to another one.
        self._tensors = [image]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        sources = [
            self._sources[id(leaf)]
            for leaf in tree_leaves((args, kwargs))
            if id(leaf) in self._sources
        ]
        results = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        if sources and results:
            operation = func._schema.name.partition("::")[2].rstrip("_")
            self._record(operation, sources, results)
        return output

    def _record(self, operation: str, sources: list[TracedCall], results: list[Tensor]) -> None:
        call = self._current_call()
        call.operations.append(operation)
        call.shape = tuple(results[0].shape)
        for source in sources:
            if source is not call and source not in call.inputs:
                call.inputs.append(source)
                source.users.append(call)
        for result in results:
            self._sources[id(result)] = call
        self._tensors += results

    def _current_call(self) -> TracedCall:
        innermost = self.running[-1] if self.running else None
        if innermost is not None and innermost.call is not None:
            return innermost.call
        module = None if innermost is None else innermost.module
        call = TracedCall(place=len(self.calls), module=module)
        self.calls.append(call)
        if innermost is not None and innermost.is_leaf:
            innermost.call = call
        return call
