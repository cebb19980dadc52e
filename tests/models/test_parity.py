"""Our ResNets against timm's: the same parameters by name, the same logits."""

from __future__ import annotations

import pytest
import timm
import torch

from tests.models.random_weights import fill, images
from trickbag.models import create_model

SLOW = pytest.mark.slow
NAMES = [
    ("resnet18", "resnet18"),
    ("resnet34", "resnet34"),
    ("resnet50", "resnet50"),
    ("resnet18_d", "resnet18d"),
    ("resnet34_d", "resnet34d"),
    ("resnet50_c", "resnet50c"),
    ("resnet50_d", "resnet50d"),
    pytest.param("resnet101", "resnet101", marks=SLOW),
    pytest.param("resnet152", "resnet152", marks=SLOW),
    pytest.param("resnet101_d", "resnet101d", marks=SLOW),
    pytest.param("resnet152_d", "resnet152d", marks=SLOW),
]


@pytest.mark.parametrize(("name", "timm_name"), NAMES)
def test_timm_weights_load_and_give_the_same_logits(name, timm_name):
    theirs = fill(timm.create_model(timm_name))
    ours = create_model(name).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    # 75 px is odd at the stem's output, at the pool's and in three of the stages.
    for size in (64, 75):
        batch = images(2, 3, size)
        with torch.no_grad():
            expected, got = theirs(batch), ours(batch)
        assert (got - expected).abs().max() < 5e-5 * expected.std()


@pytest.mark.parametrize(("name", "timm_name"), NAMES)
def test_timm_takes_our_weights(name, timm_name):
    with torch.device("meta"):
        theirs = timm.create_model(timm_name)
    ours = create_model(name)
    theirs.load_state_dict(ours.state_dict(), strict=True, assign=True)
    assert [(key, value.shape) for key, value in theirs.named_parameters()] == [
        (key, value.shape) for key, value in ours.named_parameters()
    ]


def test_gradients_are_timms_in_training_mode():
    theirs, ours = (
        fill(timm.create_model("resnet18d", num_classes=5)).train(),
        create_model("resnet18_d", num_classes=5),
    )
    ours.load_state_dict(theirs.state_dict(), strict=True)
    batch, labels = images(4, 3, 75), torch.tensor([0, 1, 2, 3])
    for network in (theirs, ours.train()):
        torch.nn.functional.cross_entropy(network(batch), labels).backward()
    for (name, expected), got in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.grad, rtol=1e-3, atol=1e-5, msg=name)
    for (name, expected), got in zip(theirs.named_buffers(), ours.buffers(), strict=True):
        torch.testing.assert_close(got, expected, msg=name)
