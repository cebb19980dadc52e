"""Convert variables of the original TensorFlow networks of Lee et al. 2020 to weights of ours.

TensorFlow names a variable by its scope, and by the number of layers of its kind that were created
in the scope before. So the layers are visited here in the order in which the original code creates
them; of a block, the shortcut comes first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.errors import UserError
from trickbag.models.big_little import BigLittle
from trickbag.models.layers.selective_blocks import SelectiveBottleneck
from trickbag.models.layers.selective_kernel import AssembleKernel2d
from trickbag.models.layers.squeeze_excite import SqueezeExcite2d
from trickbag.models.mismatch import listed, shape_text
from trickbag.models.official.networks import OFFICIAL_CLASSES, official_config
from trickbag.models.official.variables import is_weight
from trickbag.models.resnet import ResNet
from trickbag.models.zoo import raw_network

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Variable", "from_tensorflow", "tensorflow_variables"]

_ROOT = "resnet_model"
_NORM_VARIABLES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One variable of an original network.

    `shape` is its shape there, `weight` the name of our weight; transposed to `axes`, the variable
    is that weight.
    """

    shape: tuple[int, ...]
    weight: str
    axes: tuple[int, ...]


def from_tensorflow(variables: Mapping[str, np.ndarray], name: str) -> dict[str, Tensor]:
    """Convert the variables of an original network to the weights of `create_official(name)`.

    `variables` have the names and shapes with which TensorFlow saved them
    (`resnet_model/conv2d/kernel`, height x width x in x out). Those of the optimizer
    (`.../Momentum`) and `global_step` are ignored. The number of classes is that of the variables.
    Raises UserError for an unknown network, and for variables that are missing, unknown, of another
    shape or not of floating point; it names the first few.
    """
    given = {key: np.asarray(value) for key, value in variables.items() if is_weight(key)}
    expected = tensorflow_variables(name, _num_classes(given))
    if problems := _mismatches(given, expected):
        raise UserError(
            f"these variables are not of the official {name}: {'; '.join(problems)}",
            "give all variables of its checkpoint, under their own names",
        )
    state = {
        variable.weight: torch.from_numpy(
            np.array(given[key].transpose(variable.axes), dtype=np.float32, order="C")
        )
        for key, variable in expected.items()
    }
    # TensorFlow does not count batches.
    counters = (weight for weight in state if weight.endswith(".running_var"))
    return state | {
        f"{weight.removesuffix('running_var')}num_batches_tracked": torch.tensor(0)
        for weight in counters
    }


def _mismatches(given: Mapping[str, np.ndarray], expected: Mapping[str, Variable]) -> list[str]:
    """Return what is wrong with the given variables, in words."""
    fits = {
        key: variable
        for key, variable in expected.items()
        if key in given and given[key].shape == variable.shape
    }
    reshaped = (
        f"{key} {shape_text(given[key].shape)} for {shape_text(variable.shape)}"
        for key, variable in expected.items()
        if key in given and key not in fits
    )
    integers = (key for key in fits if not np.issubdtype(given[key].dtype, np.floating))
    return [
        *listed("missing", (key for key in expected if key not in given)),
        *listed("unknown", (key for key in given if key not in expected)),
        *listed("of another shape", reshaped),
        *listed("not of floating point", integers),
    ]


def tensorflow_variables(name: str, num_classes: int = OFFICIAL_CLASSES) -> dict[str, Variable]:
    """Return the variables of an original network by name, in the order of their creation.

    Those of the optimizer are left out. Raises UserError for an unknown network.
    """
    with torch.device("meta"):
        network = raw_network(official_config(name, num_classes))
    assert isinstance(network, ResNet | BigLittle)
    names = {module: prefix for prefix, module in network.named_modules()}
    # TensorFlow's shape is that of our tensor with the transposition undone.
    return {
        f"{scope}/{variable}": Variable(
            shape=tuple(tensor.shape[axis] for axis in _inverse(axes)),
            weight=f"{names[module]}.{parameter}",
            axes=axes,
        )
        for scope, module in _layers(network)
        for variable, parameter, tensor, axes in _variables(module)
    }


@dataclass
class _Scope:
    """A variable scope; it counts its layers by kind: conv2d, conv2d_1, conv2d_2."""

    path: str
    counts: Counter[str] = field(default_factory=Counter)

    def next(self, kind: str) -> str:
        """Return the scope of the next layer of a kind."""
        count = self.counts[kind]
        self.counts[kind] += 1
        return f"{self.path}/{kind}_{count}" if count else f"{self.path}/{kind}"


def _layers(network: ResNet | BigLittle) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that have variables, with their scopes, in the order of their creation."""
    if isinstance(network, BigLittle):
        yield from _big_little_layers(network)
    else:
        scope = _Scope(_ROOT)
        yield from _rows(scope, [network.conv1, network.bn1])
        yield from _blocks(scope, [network.layer1, network.layer2, network.layer3, network.layer4])
    yield f"{_ROOT}/dense", network.get_classifier()


def _big_little_layers(network: BigLittle) -> Iterator[tuple[str, nn.Module]]:
    yield from _rows(_Scope(f"{_ROOT}/stage0"), [network.conv1])
    # The original opens its scope a second time for the normalisation, and TensorFlow numbers it.
    yield from _rows(_Scope(f"{_ROOT}/stage0_1"), [network.bn1])
    yield from _rows(_Scope(f"{_ROOT}/stage0/pool"), [network.stem_fusion])
    for i, stage in enumerate((network.layer1, network.layer2, network.layer3), 1):
        yield from _blocks(_Scope(f"{_ROOT}/stage{i}/big{i}"), [stage.big])
        little = _Scope(f"{_ROOT}/stage{i}/little{i}")
        yield from _blocks(little, [stage.little])
        yield from _rows(little, [stage.expand])
        yield from _blocks(_Scope(f"{_ROOT}/stage{i}/merge{i}"), [stage.fusion])
    yield from _blocks(_Scope(f"{_ROOT}/stage4"), [network.layer4])


def _rows(scope: _Scope, modules: Iterable[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """Yield convolutions and normalisations in the order in which the network has them."""
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                yield scope.next("conv2d"), layer
            elif isinstance(layer, nn.BatchNorm2d):
                yield scope.next("batch_normalization"), layer


def _blocks(scope: _Scope, stages: Iterable[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    for stage in stages:
        for block in stage.children():
            yield from _block(scope, block)


def _block(scope: _Scope, block: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    # The order is that of creation in the original code, not that of computation.
    yield from _rows(scope, [block.get_submodule("downsample")])
    if isinstance(block, SelectiveBottleneck):
        yield from _rows(scope, [block.conv1])
        kernel = block.conv2
        assert isinstance(kernel, AssembleKernel2d)
        yield from _rows(scope, [kernel.conv])
        inside = scope.next("sk_block")
        yield f"{inside}/sk_fc_1", kernel.attn.fc_reduce
        yield f"{inside}/batch_normalization", kernel.attn.bn
        yield f"{inside}/sk_fc_2", kernel.attn.fc_select
        yield from _rows(scope, [block.conv3])
    else:
        parts = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
        yield from _rows(scope, [block.get_submodule(part) for part in parts])
    attention = block.get_submodule("se")
    if isinstance(attention, SqueezeExcite2d):
        inside = scope.next("se_block")
        yield f"{inside}/seblock_dense_1", attention.fc1
        yield f"{inside}/seblock_dense_2", attention.fc2


def _variables(layer: nn.Module) -> Iterator[tuple[str, str, Tensor, tuple[int, ...]]]:
    """Yield each variable of a layer: TensorFlow's name, ours, our tensor, and the axes.

    The variable, transposed to the axes, is our tensor.
    """
    if isinstance(layer, nn.BatchNorm2d):
        for variable, parameter in _NORM_VARIABLES.items():
            yield variable, parameter, getattr(layer, parameter), (0,)
        return
    # Kernels are (height, width, in, out) in TensorFlow, dense ones (in, out).
    weight = layer.get_parameter("weight")
    yield "kernel", "weight", weight, (3, 2, 0, 1) if weight.ndim == 4 else (1, 0)
    if isinstance(bias := getattr(layer, "bias", None), Tensor):
        yield "bias", "bias", bias, (0,)


def _inverse(axes: tuple[int, ...]) -> list[int]:
    return [int(axis) for axis in np.argsort(axes)]


def _num_classes(given: Mapping[str, np.ndarray]) -> int:
    """Return the number of classes of the classifier's variables; the official one if unclear."""
    kernel, bias = given.get(f"{_ROOT}/dense/kernel"), given.get(f"{_ROOT}/dense/bias")
    if kernel is None or bias is None:
        return OFFICIAL_CLASSES
    agree = kernel.ndim == 2 and kernel.shape[1:] == bias.shape and bias.size
    return int(bias.size) if agree else OFFICIAL_CLASSES
