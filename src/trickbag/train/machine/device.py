"""Device, precision and memory layout, which follow from what the machine can do.

They never follow from a measurement: the same machine then makes the same choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from trickbag.errors import UserError
from trickbag.models.config import Precision
from trickbag.optim.config import Device

__all__ = [
    "Layout",
    "Precision",
    "autocast",
    "autocast_dtype",
    "choose_device",
    "choose_layout",
    "choose_precision",
    "evaluation_autocast",
    "in_layout",
    "placed",
]

Layout = Literal["contiguous", "channels_last"]
N = TypeVar("N", bound=nn.Module)


def choose_device(wanted: Device) -> Literal["cpu", "cuda", "mps"]:
    """Return the device to train on; `auto` is a CUDA device if there is one, else the CPU.

    Raises UserError if a device is wanted that is not here.
    """
    if wanted == "auto":
        # Not MPS, with which nobody has tested this package.
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "training.device = 'cuda': there is no CUDA device here", "use --device cpu or auto"
        )
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UserError(
            "training.device = 'mps': torch finds no GPU of Apple's here (MPS)",
            "use --device cpu or auto",
        )
    return wanted


def choose_precision(
    wanted: Literal["float32", "auto", "auto_on_gpu", "bf16", "fp16"], device: str
) -> Precision:
    """Return the precision of the forward and backward pass.

    `auto` is the reduced precision for which the processor has instructions: bf16 on CUDA from
    compute capability 8.0 and on a CPU with AMX or AVX512-BF16, fp16 on CUDA from 7.0. Without them
    it is float32, which is faster than emulation, as it is on MPS, of which nothing is measured.
    `auto_on_gpu` is float32 on every CPU: without AMX bf16 can take twice the time there, as for
    depthwise convolutions.
    """
    if wanted == "auto_on_gpu":
        return "float32" if device == "cpu" else choose_precision("auto", device)
    if wanted != "auto":
        return wanted
    if device == "cuda":
        capability = torch.cuda.get_device_capability()
        return "bf16" if capability >= (8, 0) else "fp16" if capability >= (7, 0) else "float32"
    if device == "mps":
        return "float32"
    return "bf16" if _cpu_has_bf16() else "float32"


def _cpu_has_bf16() -> bool:
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    # Older releases of torch have no public name for them.
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def choose_layout(precision: Precision, device: str) -> Layout:
    """Return the memory layout of images and convolutions.

    Matrix units take channels last; float32 convolutions gain nothing from it.
    """
    if device == "cuda":
        matrix_units = precision != "float32" and torch.cuda.get_device_capability() >= (7, 0)
    else:
        matrix_units = device == "cpu" and precision == "bf16" and _cpu_has_bf16()
    return "channels_last" if matrix_units else "contiguous"


def placed(network: N, device: torch.device, layout: Layout) -> N:
    """Move a network to a device, with its weights in a memory layout; return it."""
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    return network.to(device).to(memory_format=memory_format)


def autocast_dtype(precision: Precision) -> torch.dtype | None:
    """Return the type in which autocast computes, None for float32."""
    return {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Return the context in which a network computes in `dtype`; None for float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


@contextmanager
def evaluation_autocast(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Give the context in which a network is evaluated in `dtype`; None for float32.

    Float32 is then float32 everywhere: on CUDA cuDNN computes convolutions in TF32 by default,
    whose numbers have 10 bits, and an exported network would have other probabilities.
    """
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # not in the stub
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        with autocast(device, dtype):
            yield
    finally:
        convolutions.fp32_precision = before


def in_layout(images_NCHW: Tensor, layout: Layout) -> Tensor:
    """Return the images in a memory layout; `contiguous` leaves them as they are."""
    if layout == "contiguous":
        return images_NCHW
    return images_NCHW.contiguous(memory_format=torch.channels_last)
