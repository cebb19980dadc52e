"""Variables of the networks of Lee et al. 2020 as weights: names, shapes, values, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.models.official.originals import VECTOR_NAMES, tensor, vector
from trickbag.errors import UserError
from trickbag.models.official.convert import from_tensorflow, tensorflow_variables
from trickbag.models.official.networks import official_config
from trickbag.models.zoo import raw_network


def distinct_variables(name: str) -> dict[str, np.ndarray]:
    """Return variables of a network whose values all differ."""
    variables, start = {}, 0
    for key, variable in tensorflow_variables(name).items():
        size = int(np.prod(variable.shape))
        values = np.arange(start, start + size, dtype=np.float32) / 2**24
        variables[key] = values.reshape(variable.shape)
        start += size
    return variables


@pytest.mark.parametrize(
    "name", ["resnet50_d_se", pytest.param("assemble50", marks=pytest.mark.slow)]
)
def test_variables_become_weights(name):
    variables = distinct_variables(name)
    extra = {"global_step": np.array(7, dtype=np.int64)}
    extra |= {f"{key}/Momentum": value for key, value in variables.items() if "moving" not in key}
    state = from_tensorflow({**variables, **extra}, name)
    with torch.device("meta"):
        network = raw_network(official_config(name))
    network.load_state_dict(state, strict=True, assign=True)
    assert sum(
        value.numel() for key, value in state.items() if not key.endswith("num_batches_tracked")
    ) == sum(value.size for value in variables.values())
    assert all(value.is_contiguous() for value in state.values())
    kernel = variables["resnet_model/dense/kernel"]
    assert torch.equal(network.fc.weight, tensor(kernel.T))
    first = next(key for key in variables if key.endswith("conv2d/kernel"))
    conv = network.conv1 if isinstance(network.conv1, nn.Conv2d) else network.conv1[0]
    assert torch.equal(conv.weight, tensor(variables[first].transpose(3, 2, 0, 1)))
    values = torch.cat(
        [value.flatten() for key, value in state.items() if not key.endswith("tracked")]
    )
    assert values.unique().numel() == values.numel() or values.numel() > 2**24


def test_variables_of_another_number_of_classes():
    variables = distinct_variables("resnet50")
    variables["resnet_model/dense/kernel"] = np.ones((2048, 101), dtype=np.float64)
    variables["resnet_model/dense/bias"] = np.ones(101, dtype=np.float16)
    state = from_tensorflow(variables, "resnet50")
    assert state["fc.weight"].shape == (101, 2048)
    assert state["fc.bias"].dtype == state["fc.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"resnet_model/conv2d_9/kernel": None}, r"missing resnet_model/conv2d_9/kernel;"),
        (
            {f"resnet_model/conv2d_{i}/kernel": None for i in range(10, 20)},
            r"missing resnet_model/conv2d_10/kernel, .* and 7 more",
        ),
        ({"resnet_model/conv2d_99/kernel": np.ones(1)}, r"unknown resnet_model/conv2d_99/kernel;"),
        (
            {"resnet_model/dense/kernel/Adam": np.ones(1)},
            r"unknown resnet_model/dense/kernel/Adam;",
        ),
        (
            {"resnet_model/conv2d_2/kernel": np.ones((64, 64, 1, 1), dtype=np.float32)},
            r"of another shape resnet_model/conv2d_2/kernel 64x64x1x1 for 1x1x64x64;",
        ),
        (
            {"resnet_model/dense/bias": np.ones(7, dtype=np.float32)},
            r"of another shape resnet_model/dense/bias 7 for 1001;",
        ),
        (
            {"resnet_model/dense/kernel": np.ones((2048, 7), dtype=np.float32)},
            r"of another shape resnet_model/dense/kernel 2048x7 for 2048x1001;",
        ),
        (
            {"resnet_model/dense/bias": np.ones(1001, dtype=np.int64)},
            r"not of floating point resnet_model/dense/bias;",
        ),
    ],
)
def test_variables_that_do_not_fit_are_named(change, says):
    variables = {**distinct_variables("resnet50"), **change}
    variables = {key: value for key, value in variables.items() if value is not None}
    with pytest.raises(UserError, match=says) as info:
        from_tensorflow(variables, "resnet50")
    assert "official resnet50" in str(info.value)
    assert "\n" not in str(info.value)


def test_no_variables_and_those_of_another_network_are_refused():
    with pytest.raises(
        UserError, match=r"missing resnet_model/stage0/conv2d/kernel, .* and 493 more"
    ):
        from_tensorflow({}, "assemble50")
    with pytest.raises(UserError, match=r"missing .*; unknown .*"):
        from_tensorflow(distinct_variables("resnet50"), "resnet50_bl")
    with pytest.raises(UserError, match="no official network"):
        from_tensorflow({}, "resnet34")


@pytest.mark.data
@pytest.mark.parametrize("name", VECTOR_NAMES)
def test_variables_have_the_original_names_shapes_and_order(name):
    facts, _ = vector(name)
    expected = [(key, tuple(shape)) for key, shape, _ in facts["variables"]]
    ours = tensorflow_variables(name.removesuffix("_256"))
    assert [(key, variable.shape) for key, variable in ours.items()] == expected
