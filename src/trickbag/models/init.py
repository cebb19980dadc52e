"""Initial values of a network, each drawn from a stream of its parameter's name.

Two networks that share a parameter's name and shape share its initial value, whatever else differs
between them. So taking a trick out changes only what the trick changed.

Sources: Glorot & Bengio 2010, equation 16 (`xavier`, as in He et al. 2018, section 2.1); He et al.
2015 (arXiv 1502.01852), equation 14 (`msra`) and equation 15 (`msra_prelu`, which the code of He
et al. 2018 takes from MXNet); LeCun et al. 1998, section 4.6 (`lecun`, which the code of Lee et
al. 2020 takes from TensorFlow).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from trickbag.models.config import Init
from trickbag.streams import stream

__all__ = ["initialise", "is_norm", "seeded_generator"]

Draw = Callable[[np.random.Generator, torch.Size], np.ndarray]

PRELU_SLOPE = 0.25
"""The slope of leaky units for which MXNet's `MSRAPrelu` computes its gain.

The networks have no such units.
"""

CUT = 2.0
STD_WITHIN_CUT = 0.87962566103423978
"""The standard deviation of a standard normal that is cut at -CUT and CUT.

It is sqrt(1 - 2 CUT p(CUT) / P(|z| < CUT)).
"""


@contextmanager
def seeded_generator(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator within the block; restore its state afterwards."""
    # Not torch.manual_seed: it would also seed every CUDA device, and nothing here restores those.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def is_norm(module: nn.Module) -> bool:
    """Tell whether a module is a normalisation layer."""
    return isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm | nn.RMSNorm)


def initialise(
    network: nn.Module, scheme: Init, seed: int, *, only: nn.Module | None = None
) -> None:
    """Set a network's weights to the initial values of a scheme, in place.

    Weights of convolutions and linear layers, with fan_in and fan_out including the kernel's area:

    - `xavier`: uniform in [-a, a], a = sqrt(6 / (fan_in + fan_out)).
    - `msra`: convolutions normal with variance 2 / fan_out, as in timm and torchvision; linear
      layers `xavier`, because no ReLU follows a classifier, and its fan_out, the number of
      classes, says nothing about the signal.
    - `msra_prelu`: normal with variance 2 / (1 + 0.25^2) / ((fan_in + fan_out) / 2).
    - `lecun`: convolutions normal with variance 1 / fan_in, cut at two standard deviations of the
      normal before the cut; linear layers `xavier`.

    Biases become 0. Normalisations get gamma 1, beta 0 and fresh running statistics. A parameter of
    any other module keeps the value that its constructor gave it. `only` restricts all this to one
    module of the network. Torch's random state is neither read nor changed.
    """
    chosen = None if only is None else set(only.modules())
    with torch.no_grad():
        for prefix, module in network.named_modules():
            if chosen is not None and module not in chosen:
                continue
            if isinstance(module, _ConvNd | nn.Linear):
                draw = _LINEAR[scheme] if isinstance(module, nn.Linear) else _CONV[scheme]
                # The prefix of the network itself is empty.
                name = f"{prefix}.weight".lstrip(".")
                _fill(module.weight, draw(stream(seed, f"init:{name}"), module.weight.shape))
                if module.bias is not None:
                    module.bias.zero_()
            elif is_norm(module):
                _reset_norm(module)


def _fill(weight: Tensor, values: np.ndarray) -> None:
    weight.copy_(torch.from_numpy(values))


def _reset_norm(norm: nn.Module) -> None:
    if isinstance(norm, _NormBase):
        norm.reset_running_stats()
    for value, parameter in (
        (1.0, getattr(norm, "weight", None)),
        (0.0, getattr(norm, "bias", None)),
    ):
        if isinstance(parameter, Tensor):
            parameter.fill_(value)


def _fans(shape: torch.Size) -> tuple[int, int]:
    """Return fan_in and fan_out of a weight (out, in, kernel...)."""
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area


def _xavier(rng: np.random.Generator, shape: torch.Size) -> np.ndarray:
    bound = math.sqrt(6.0 / sum(_fans(shape)))
    # The type is part of what a seed means: float64 takes other bits of the stream.
    values = rng.random(tuple(shape), dtype=np.float32)
    # In place: a network has millions of these.
    values -= np.float32(0.5)
    values *= np.float32(2.0 * bound)
    return values


def _normal(rng: np.random.Generator, shape: torch.Size, std: float) -> np.ndarray:
    values = rng.standard_normal(tuple(shape), dtype=np.float32)
    values *= np.float32(std)
    return values


def _msra(rng: np.random.Generator, shape: torch.Size) -> np.ndarray:
    return _normal(rng, shape, math.sqrt(2.0 / _fans(shape)[1]))


def _msra_prelu(rng: np.random.Generator, shape: torch.Size) -> np.ndarray:
    return _normal(rng, shape, math.sqrt(2.0 / (1.0 + PRELU_SLOPE**2) / (sum(_fans(shape)) / 2.0)))


def _lecun(rng: np.random.Generator, shape: torch.Size) -> np.ndarray:
    # Values outside of the cut are drawn again, as TensorFlow's truncated_normal does.
    values = rng.standard_normal(tuple(shape), dtype=np.float32)
    flat = values.reshape(-1)
    while (outside := np.flatnonzero(np.abs(flat) > CUT)).size:
        flat[outside] = rng.standard_normal(outside.size, dtype=np.float32)
    values *= np.float32(math.sqrt(1.0 / _fans(shape)[0]) / STD_WITHIN_CUT)
    return values


_CONV: Mapping[str, Draw] = MappingProxyType(
    {"xavier": _xavier, "msra": _msra, "msra_prelu": _msra_prelu, "lecun": _lecun}
)
_LINEAR: Mapping[str, Draw] = MappingProxyType(
    {"xavier": _xavier, "msra": _xavier, "msra_prelu": _msra_prelu, "lecun": _xavier}
)
