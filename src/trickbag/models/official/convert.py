"""Weights of the original TensorFlow networks of Lee et al. 2020, as weights of ours.

TensorFlow names a variable by its scope and by how many layers of its kind were created there
before, so the networks are walked here in the order in which the original code creates them: of a
block, its shortcut first.
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
    """One variable of an original network: its shape there, our weight's name, and the axes that
    make it ours."""

    shape: tuple[int, ...]
    weight: str
    axes: tuple[int, ...]


def from_tensorflow(variables: Mapping[str, np.ndarray], name: str) -> dict[str, Tensor]:
    """Turn the variables of an original network into the weights of `create_official(name)`.

    `variables` are named and shaped as TensorFlow saved them (`resnet_model/conv2d/kernel`, height
    x width x in x out); the optimizer's slots (`.../Momentum`) and `global_step` are left out. The
    number of classes is that of the variables. Raises UserError for a network that is not known,
    and for variables that are missing, surplus, of another shape or not of floating point, naming
    the first few.
    """
    given = {key: np.asarray(value) for key, value in variables.items() if is_weight(key)}
    expected = tensorflow_variables(name, _num_classes(given))
    fits = {
        key: variable
        for key, variable in expected.items()
        if key in given and given[key].shape == variable.shape
    }
    problems = [
        *listed("missing", (key for key in expected if key not in given)),
        *listed("unknown", (key for key in given if key not in expected)),
        *listed(
            "of another shape",
            (
                f"{key} {shape_text(given[key].shape)} for {shape_text(variable.shape)}"
                for key, variable in expected.items()
                if key in given and key not in fits
            ),
        ),
        *listed(
            "not of floating point",
            (key for key in fits if not np.issubdtype(given[key].dtype, np.floating)),
        ),
    ]
    if problems:
        raise UserError(
            f"these variables are not of the official {name}: {'; '.join(problems)}; give all "
            f"variables of its "
            "checkpoint, under their own names"
        )
    state = {
        variable.weight: torch.from_numpy(
            np.array(given[key].transpose(variable.axes), dtype=np.float32, order="C")
        )
        for key, variable in expected.items()
    }
    counters = (weight for weight in state if weight.endswith(".running_var"))
    return state | {
        f"{weight.removesuffix('running_var')}num_batches_tracked": torch.tensor(0)
        for weight in counters
    }


def tensorflow_variables(name: str, num_classes: int = OFFICIAL_CLASSES) -> dict[str, Variable]:
    """List the variables of an original network in the order of their creation, optimizer slots left out.

    Raises UserError for a network that is not known.
    """
    with torch.device("meta"):
        network = raw_network(official_config(name, num_classes))
    assert isinstance(network, ResNet | BigLittle)
    names = {module: prefix for prefix, module in network.named_modules()}
    return {
        f"{scope}/{leaf}": Variable(
            shape=tuple(tensor.shape[axis] for axis in _inverse(axes)),
            weight=f"{names[module]}.{leaf_here}",
            axes=axes,
        )
        for scope, module in _layers(network)
        for leaf, leaf_here, tensor, axes in _leaves(module)
    }


@dataclass
class _Scope:
    """A variable scope, which counts its layers by kind: conv2d, conv2d_1, conv2d_2."""

    path: str
    counts: Counter[str] = field(default_factory=Counter)

    def next(self, kind: str) -> str:
        """Name the next layer of a kind."""
        count = self.counts[kind]
        self.counts[kind] += 1
        return f"{self.path}/{kind}_{count}" if count else f"{self.path}/{kind}"


def _layers(network: ResNet | BigLittle) -> Iterator[tuple[str, nn.Module]]:
    """Pair the layers that have variables with their scopes, in the order of their creation."""
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
    """Name convolutions and normalisations as they stand in the network."""
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


def _leaves(layer: nn.Module) -> Iterator[tuple[str, str, Tensor, tuple[int, ...]]]:
    """List a layer's variables: TensorFlow's name, ours, our tensor, and the axes that turn theirs
    into it."""
    if isinstance(layer, nn.BatchNorm2d):
        for theirs, ours in _NORM_VARIABLES.items():
            yield theirs, ours, getattr(layer, ours), (0,)
        return
    weight = layer.get_parameter("weight")
    yield "kernel", "weight", weight, (3, 2, 0, 1) if weight.ndim == 4 else (1, 0)
    if isinstance(bias := getattr(layer, "bias", None), Tensor):
        yield "bias", "bias", bias, (0,)


def _inverse(axes: tuple[int, ...]) -> list[int]:
    return [int(axis) for axis in np.argsort(axes)]


def _num_classes(given: Mapping[str, np.ndarray]) -> int:
    """Return the number of classes that the classifier's two variables agree on, else the official
    one."""
    kernel, bias = given.get(f"{_ROOT}/dense/kernel"), given.get(f"{_ROOT}/dense/bias")
    if (
        kernel is None
        or bias is None
        or kernel.ndim != 2
        or kernel.shape[1:] != bias.shape
        or not bias.size
    ):
        return OFFICIAL_CLASSES
    return int(bias.size)
