"""A pretended GPU of Apple's: tensors that say they are on `mps`, and compute on the CPU.

It is as strict as the device where that can be known here: it has no float64, takes no tensor of
the CPU among its own but for numbers, and gives its values to numpy through the CPU alone. What the
device's kernels compute is another matter.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

MPS = torch.device("mps:0")

_MOVES = {Tensor.to, Tensor.cpu, Tensor.copy_, Tensor.type_as}
_OF_ANY_DEVICES = {*_MOVES, torch._has_compatible_shallow_copy_type}
_PROPERTIES: dict[Any, Any] = {
    Tensor.device.__get__: MPS,
    Tensor.is_cpu.__get__: False,
    Tensor.is_mps.__get__: True,
    Tensor.get_device: 0,
}


class FakeMpsTensor(Tensor):
    """A tensor of the CPU that says that it is on `mps`."""


class FakeMps(TorchFunctionMode):
    """Lets torch have the device `mps`; every function of torch goes through here."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        fakes = [x for x in tensors if isinstance(x, FakeMpsTensor)]
        if fakes and func in _PROPERTIES and isinstance(args[0], FakeMpsTensor):
            return _PROPERTIES[func]
        if fakes and func is Tensor.__deepcopy__:
            copy = _fake(args[0].detach().clone(), args[0].requires_grad)
            args[1][id(args[0])] = copy
            return copy
        if fakes and func is Tensor.__reduce_ex__:
            args = (_plain(args[0]), *args[1:])
        assert not (fakes and func is Tensor.numpy), "a tensor of MPS as an array"
        device = _device(func, args, kwargs)
        if fakes and func not in _OF_ANY_DEVICES and device is None:
            strangers = [x for x in tensors if not isinstance(x, FakeMpsTensor) and x.ndim > 0]
            assert all(x.is_meta for x in strangers), f"{func}: tensors of the CPU and of MPS"
        if "device" in kwargs:
            kwargs = kwargs | {"device": _real_device(kwargs["device"])}
        if func is Tensor.to:
            args = tuple(map(_real_device, args))
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        if device is not None:
            to_mps = device.type == "mps"
        elif func is Tensor.cpu:
            to_mps = False
        else:
            to_mps = bool(fakes) and (
                func is not Tensor.copy_ or isinstance(args[0], FakeMpsTensor)
            )
        moved = bool(tensors) and func in _MOVES and to_mps != isinstance(args[0], FakeMpsTensor)
        if moved and result is args[0] and func is not Tensor.copy_:
            # A move to another device copies; on the CPU it would be the tensor itself.
            with torch._C.DisableTorchFunctionSubclass():
                result = result.clone()
        if not to_mps:
            return tree_map(lambda x: _plain(x) if isinstance(x, FakeMpsTensor) else x, result)
        known = {id(x) for x in fakes}
        return tree_map(lambda x: x if id(x) in known else _wrapped(x), result)


def _device(func: Any, args: Any, kwargs: Any) -> torch.device | None:
    """Return the device that a call asks for; None where it asks for none."""
    named = [kwargs.get("device")]
    if func is Tensor.to:
        named += [x for x in args[1:] if isinstance(x, str | torch.device)]
        named += [Tensor.device.__get__(x) for x in args[1:] if isinstance(x, Tensor)]
    return next((torch.device(name) for name in named if name is not None), None)


def _real_device(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu") if value.type == "mps" else value
    return "cpu" if isinstance(value, str) and value.partition(":")[0] == "mps" else value


def _fake(tensor: Tensor, requires_grad: bool) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.detach().as_subclass(FakeMpsTensor).requires_grad_(requires_grad)


def _wrapped(value: Any) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, FakeMpsTensor):
        return value
    assert value.dtype not in (torch.float64, torch.complex128), "MPS has no float64"
    with torch._C.DisableTorchFunctionSubclass():
        return value.as_subclass(FakeMpsTensor)


def _plain(tensor: Tensor) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(Tensor)


@contextmanager
def fake_mps() -> Iterator[None]:
    """Let torch have the device `mps` within the block."""
    load = torch.load

    def load_on(file: Any, map_location: Any = None, **options: Any) -> Any:
        """Read a file of torch's; its tensors are on the device that is named."""
        values = load(file, map_location="cpu", **options)
        on_mps = isinstance(map_location, torch.device) and map_location.type == "mps"
        return tree_map(_wrapped, values) if on_mps else values

    before = torch.__future__.get_overwrite_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch:
        # With a cache, as torch's has: its compiler looks for it.
        patch.setattr(torch.backends.mps, "is_available", functools.cache(lambda: True))
        state = torch.zeros(1, dtype=torch.uint8)
        patch.setattr(torch.mps, "get_rng_state", lambda: state)
        patch.setattr(torch.mps, "set_rng_state", lambda _: None)
        patch.setattr(torch.mps, "manual_seed", lambda _: None)
        patch.setattr(torch, "load", load_on)
        # A parameter is made anew of the moved tensor, and so is of its class.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with FakeMps():
                yield
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(before)
