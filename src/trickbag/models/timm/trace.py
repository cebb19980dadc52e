"""What a network computes, step by step, recorded while an image goes through it on shapes alone.

The structure of a network that is not ours is read from this, by the types of its modules and the
shapes between them: a network of any library is then understood without knowing the names that it
gives to its parts.
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

__all__ = ["TracedCall", "record"]

_IMAGE = (224, 224)


@dataclass(eq=False, repr=False)
class TracedCall:
    """One thing that a network computes: a call of a module without children, or an operation of one that has some.

    `module` is the innermost module that computes it, None for the image itself; `operations` are
    torch's names of what was computed (`convolution`, `add`), without the sign of those that work
    in place. `inputs` are the steps whose results it takes, parameters and constants left out,
    `users` those that take its result, of shape `shape`.
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


def record(network: nn.Module) -> list[TracedCall]:
    """Return the steps of a network in evaluation mode, in their order, the image first.

    Nothing is computed: one image of the size that the network says it is made for, else of 224 px,
    goes through on shapes alone; the network is left as it was. What does nothing in evaluation,
    such as dropout, is no step. Raises whatever the network raises that cannot do this.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    dtype = next(
        (tensor.dtype for tensor in shapes.values() if tensor.is_floating_point()),
        torch.get_default_dtype(),
    )
    image = torch.empty(1, *_image_shape(network), dtype=dtype, device="meta")
    recorder = _Recorder(image)
    with _evaluating(network), _watched(network, recorder), torch.no_grad(), recorder:
        functional_call(network, shapes, (image,))
    return recorder.steps


def _image_shape(network: nn.Module) -> tuple[int, int, int]:
    channels = next((m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d)), 3)
    made_for: Any = getattr(network, "pretrained_cfg", None) or {}
    height, width = tuple(made_for.get("input_size", ()))[1:] or _IMAGE
    return channels, height, width


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _watched(network: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Tell the recorder when each module begins and ends."""
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


def _enter(recorder: _Recorder, module: nn.Module, given: object) -> None:
    recorder.calls.append(_Call(module))


def _leave(recorder: _Recorder, module: nn.Module, given: object, made: object) -> None:
    recorder.calls.pop()


class _Call:
    """A call of a module that is going on; `step` is what a module without children has done so
    far."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.whole = not any(True for _ in module.children())
        self.step: TracedCall | None = None


class _Recorder(TorchDispatchMode):
    """Notes which operation, in which module, made each tensor from which others."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own has no types
        self.steps = [TracedCall(place=0, module=None, shape=tuple(image.shape))]
        self.calls: list[_Call] = []
        self._made_by = {id(image): self.steps[0]}
        self._alive = [image]  # so that no id is given twice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = [
            self._made_by[id(leaf)]
            for leaf in tree_leaves((args, kwargs))
            if id(leaf) in self._made_by
        ]
        results = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        if given and results:
            self._note(func._schema.name.partition("::")[2].rstrip("_"), given, results)
        return made

    def _note(self, operation: str, given: list[TracedCall], results: list[Tensor]) -> None:
        step = self._step()
        step.operations.append(operation)
        step.shape = tuple(results[0].shape)
        for source in given:
            if source is not step and source not in step.inputs:
                step.inputs.append(source)
                source.users.append(step)
        for result in results:
            self._made_by[id(result)] = step
        self._alive += results

    def _step(self) -> TracedCall:
        call = self.calls[-1] if self.calls else None
        if call is not None and call.step is not None:
            return call.step
        step = TracedCall(place=len(self.steps), module=None if call is None else call.module)
        self.steps.append(step)
        if call is not None and call.whole:
            call.step = step
        return step
