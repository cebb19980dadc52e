"""The contract of every network, tested with the thinnest of each family and with every name."""

from __future__ import annotations

import copy
import dataclasses
import io

import pytest
import torch
from torch import nn

from tests.builders.marks import long
from tests.models.families import THINNEST, family_of
from tests.models.random_weights import fill, images
from trickbag.models import build_network
from trickbag.models.config import OwnConfig, model_config, model_names
from trickbag.models.zoo import raw_network


@pytest.fixture(scope="module", params=THINNEST)
def entry(request):
    """The name of a family, and its network with random weights; tests must not change it."""
    config = dataclasses.replace(THINNEST[request.param].config, num_classes=3)
    return request.param, fill(build_network(config, seed=0))


SOME = [name if i % 3 == 0 else long(name) for i, name in enumerate(THINNEST)]
"""Every third family; the long tests have all."""


def test_every_named_network_has_its_family_in_the_table():
    listed = {family_of(entry.config) for entry in THINNEST.values()}
    unlisted = [name for name in model_names() if family_of(model_config(name)) not in listed]
    assert unlisted == []


def test_a_network_trains_in_bf16(entry):
    name, network = entry
    network = copy.deepcopy(network).train()
    before = {key: value.clone() for key, value in network.named_buffers() if "running" in key}
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images(4, 3, THINNEST[name].size))
    nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1, 2, 0])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert not any(
        torch.equal(value, before[key])
        for key, value in network.named_buffers()
        if "running" in key
    )


def test_batches_of_one_and_layouts_give_the_same_logits(entry):
    name, network = entry
    network = copy.deepcopy(network).double()
    x = images(3, 3, THINNEST[name].size).double()
    with torch.no_grad():
        expected = network(x)
        one_by_one = torch.cat([network(image[None]) for image in x])
        last = network.to(memory_format=torch.channels_last)(
            x.to(memory_format=torch.channels_last)
        )
    for got in (one_by_one, last):
        assert (got - expected).abs().max() < 1e-9 * expected.std()


@pytest.mark.parametrize("in_channels", [1, 4])
@pytest.mark.parametrize("name", THINNEST)
def test_other_numbers_of_channels(name, in_channels):
    config = dataclasses.replace(THINNEST[name].config, num_classes=3, in_channels=in_channels)
    with torch.device("meta"):
        network = (
            raw_network(config) if isinstance(config, OwnConfig) else build_network(config, seed=0)
        )
        assert network.eval()(
            torch.empty(2, in_channels, THINNEST[name].size, THINNEST[name].size)
        ).shape == (2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("entry", SOME, indirect=True)
def test_a_network_is_one_graph(entry):
    name, network = entry
    network, x = copy.deepcopy(network), images(2, 3, THINNEST[name].size)
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert torch.equal(compiled(x), network(x))
    network.train()
    compiled(x).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the exporter's
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("entry", SOME, indirect=True)
def test_an_exported_network_takes_any_number_of_images(entry):
    name, network = entry
    x = images(5, 3, THINNEST[name].size, seed=7)
    shapes = ({0: torch.export.Dim("n")},)
    with torch.no_grad():
        expected = network(x)
        exported = torch.export.export(network, (x[:2],), dynamic_shapes=shapes)
        torch.testing.assert_close(exported.module()(x), expected)
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    program = torch.onnx.export(exported, (), dynamo=True, verbose=False)
    file = io.BytesIO()
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert (torch.from_numpy(got) - expected).abs().max() < 1e-4 * expected.std()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", {family_of(model_config(name)): name for name in model_names()}.values()
)
def test_batches_of_one_and_layouts_give_the_same_logits_by_name(name):
    config = model_config(name)
    size = 97 if name == "inception_v3" else 65
    # With its initial values: random statistics would amplify the rounding of so many layers until
    # nothing else is left.
    network = build_network(dataclasses.replace(config, num_classes=3), seed=0).eval()
    x = images(2, 3, size)
    with torch.no_grad():
        expected = network(x)
        first = network(x[:1])
        last = network.to(memory_format=torch.channels_last)(
            x.to(memory_format=torch.channels_last)
        )
    assert (first - expected[:1]).abs().max() < 1e-3 * expected.std()
    assert (last - expected).abs().max() < 1e-3 * expected.std()
