"""A layer with a stride or a window, changed so that it computes every pixel of a denser map.

Of a map that is `dilation` times as dense as before, a window takes every `dilation`-th pixel. A
stride that is taken away leaves a layer that computes all pixels, and a map that is denser by that
stride. Where the pixels of the former map lie in the denser one, its values are the same: the
a-trous identity (Chen et al. 2017, arXiv 1706.05587, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from trickbag.models.layers.anti_alias import BlurPool2d
from trickbag.models.layers.dilated_pool import DilatedAvgPool2d
from trickbag.models.layers.tensorflow_pools import ShortcutAvgPool2d
from trickbag.models.timm.residual_branches import Unfit

__all__ = ["Change", "stride_of"]

_WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, BlurPool2d, ShortcutAvgPool2d)


def stride_of(layer: nn.Module | None) -> int | None:
    """Return the stride of a layer with windows; None for any other module.

    Raises Unfit if its two directions differ.
    """
    blur = _timm_blur(layer)
    if blur is None and not isinstance(layer, _WINDOWS):
        return None
    stride: Any = (blur or layer).stride  # type: ignore[union-attr]  # each of them has one
    pair = stride if isinstance(stride, tuple | list) else (stride, stride)
    if len(set(pair)) > 1:
        raise Unfit(f"its {type(layer).__name__} has a stride of {pair[0]}x{pair[1]}")
    return int(pair[0])


def _timm_blur(layer: nn.Module | None) -> Any:
    """Return a module if it is timm's blur, else None."""
    # By the name of its type: importing timm for a network that is not of timm takes seconds.
    kind = type(layer)
    is_blur = kind.__name__ == "BlurPool2d" and kind.__module__.startswith("timm.")
    return layer if is_blur else None


@dataclass(frozen=True)
class Change:
    """What becomes of a layer: the stride that stays, and the dilation of the map that it reads."""

    stride: int
    dilation: int

    def apply(self, network: nn.Module, layer: nn.Module) -> None:
        """Change a layer of a network in place, or replace it; its parameters stay as they are.

        Raises Unfit for a layer that cannot be changed so.
        """
        if _timm_blur(layer) is not None:
            layer = _own_blur(network, layer)
        if isinstance(layer, nn.Conv2d):
            self._convolution(layer)
        elif isinstance(layer, BlurPool2d):
            layer.stride, layer.dilation = self.stride, layer.dilation * self.dilation
        elif type(layer) is nn.MaxPool2d:
            self._max_pool(layer)
        elif type(layer) is nn.AvgPool2d or isinstance(layer, ShortcutAvgPool2d):
            _replace(network, layer, self._average_pool(layer))
        else:
            raise Unfit(f"its {type(layer).__name__} cannot be dilated")

    def _convolution(self, layer: nn.Conv2d) -> None:
        removed = layer.stride[0] // self.stride
        layer.stride = (self.stride, self.stride)
        kernel = layer.kernel_size
        if kernel == (1, 1) and layer.padding == (0, 0):
            return
        if layer.padding_mode != "zeros" or kernel[0] != kernel[1]:
            raise Unfit(f"its {kernel[0]}x{kernel[1]} convolution cannot be dilated")
        layer.dilation = (layer.dilation[0] * self.dilation, layer.dilation[1] * self.dilation)
        # Layers that pad as TensorFlow does take their padding from stride and dilation.
        if isinstance(layer.padding, str) or _pads_itself(layer):
            return
        before = layer.padding[0] * self.dilation
        layer.padding = (before, before)
        if removed > 1 and self.stride == 1:
            behind = layer.dilation[0] * (kernel[0] - 1) - before
            if behind != before:
                layer.padding = (0, 0)
                _pad(layer, before, behind, 0.0)

    def _max_pool(self, layer: nn.MaxPool2d) -> None:
        kernel, padding, dilation = (
            _square(layer, name) for name in ("kernel_size", "padding", "dilation")
        )
        removed = (stride_of(layer) or 1) // self.stride
        dilation *= self.dilation
        before = padding * self.dilation
        layer.stride, layer.dilation = self.stride, dilation
        behind = dilation * (kernel - 1) - before if removed > 1 and self.stride == 1 else before
        # torch takes no more padding than half of the window without dilation.
        layer.padding = before if before == behind <= kernel // 2 else 0
        if not layer.padding:
            _pad(layer, before, behind, float("-inf"))

    def _average_pool(self, layer: nn.AvgPool2d | ShortcutAvgPool2d) -> nn.Module:
        dilation = self.dilation
        if isinstance(layer, ShortcutAvgPool2d):
            kernel, before = 2, 0
            counted = (0, 0) if layer.stride == 1 else (0, dilation)
        else:
            if layer.divisor_override:
                raise Unfit("its average pool has a divisor of its own")
            kernel, before = _square(layer, "kernel_size"), _square(layer, "padding") * dilation
            counted = (before, before) if layer.count_include_pad else (0, 0)
        return DilatedAvgPool2d(
            kernel, stride=self.stride, dilation=dilation, before=before, counted=counted
        )


def _own_blur(network: nn.Module, layer: Any) -> BlurPool2d:
    """Replace timm's blur by ours, which computes the same; Unfit where it does not."""
    if layer.channels is None or layer.pad_mode != "reflect" or layer.filt_size % 2 == 0:
        raise Unfit("its blur cannot be dilated")
    blur = BlurPool2d(layer.channels, size=layer.filt_size, stride=layer.stride)
    _replace(network, layer, blur.to(layer.filt.device))
    return blur


def _pads_itself(layer: nn.Conv2d) -> bool:
    return type(layer).__name__.endswith("Same")


def _square(layer: nn.Module, name: str) -> int:
    value: Any = getattr(layer, name)
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(set(pair)) > 1:
        raise Unfit(f"its {type(layer).__name__} is not square")
    return int(pair[0])


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    # Under each of its names: a network can hold one module at more than one place.
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if module is old:
            network.set_submodule(name, new.train(old.training))


@dataclass(frozen=True)
class _Padding:
    """A hook that pads a module's input by other numbers of pixels before and behind."""

    before: int
    behind: int
    value: float

    def __call__(self, module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        sides = (self.before, self.behind) * 2
        return (functional.pad(inputs[0], sides, value=self.value),)


def _pad(layer: nn.Module, before: int, behind: int, value: float) -> None:
    """Let the input of a layer be padded `before` and `behind` it."""
    if behind < 0:
        raise Unfit(f"its {type(layer).__name__} pads more than its window")
    if before or behind:
        layer.register_forward_pre_hook(_Padding(before, behind, value))
