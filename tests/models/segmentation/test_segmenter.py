"""Segmenters: shapes, initial values, the auxiliary head, what loads into the backbone."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torchvision.models.segmentation import FCN, deeplabv3_resnet50

from tests.models.random_weights import fill, images
from trickbag.errors import UserError
from trickbag.models.config import MobileNetConfig, ResNetConfig, TimmConfig
from trickbag.models.counting import count_params
from trickbag.models.segmentation import build_segmenter
from trickbag.models.task_config import SegmentationConfig
from trickbag.models.zoo import build_network, layer_groups

THIN = ResNetConfig(depth=18, stem="deep", shortcut="avg_pool", width_factor=0.125)


@pytest.mark.parametrize("head", ["fcn", "deeplabv3"])
@pytest.mark.parametrize("model", [THIN, MobileNetConfig(width_factor=0.25)])
def test_logits_have_the_size_of_the_image(head, model):
    config = SegmentationConfig(head=head)
    network = build_segmenter(config, model, num_classes=5, seed=0)
    x = images(2, 3, 45)[:, :, :37]
    logits, auxiliary = network(x)
    assert logits.shape == auxiliary.shape == (2, 5, 37, 45)
    (logits.sum() + auxiliary.sum()).backward()
    assert all(p.grad is not None for p in network.parameters())
    logits, auxiliary = network.eval()(x)
    assert logits.shape == (2, 5, 37, 45)
    assert auxiliary is None
    # What takes part in training alone is not counted.
    alone = build_segmenter(
        dataclasses.replace(config, auxiliary_weight=0.0), model, num_classes=5, seed=0
    )
    assert alone.auxiliary is None
    assert count_params(network) == count_params(alone)


@pytest.mark.parametrize("model", [THIN, TimmConfig(name="resnet10t")])
def test_the_backbone_has_the_values_of_the_classifier(model):
    classifier = build_network(dataclasses.replace(model, num_classes=4), seed=3)
    network = build_segmenter(SegmentationConfig(), model, num_classes=4, seed=3)
    values = classifier.state_dict()
    shared = network.backbone.network.state_dict()
    assert set(shared) == {name for name in values if not name.startswith("fc.")}
    assert all(torch.equal(values[name], tensor) for name, tensor in shared.items())
    network.backbone.network.load_state_dict(fill(classifier).state_dict(), strict=False)


def test_initial_values_depend_on_seed_and_name_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second, other = (
        build_segmenter(SegmentationConfig(head=head), THIN, num_classes=4, seed=seed)
        for head, seed in (("fcn", 0), ("fcn", 0), ("fcn", 1))
    )
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    assert not torch.equal(first.head[0].weight, other.head[0].weight)
    deep = build_segmenter(SegmentationConfig(head="deeplabv3"), THIN, num_classes=4, seed=0)
    for name, tensor in first.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(tensor, deep.state_dict()[name])


def test_logits_are_those_of_torchvision():
    # torchvision's own form of a segmenter, around the same maps and heads.
    network = build_segmenter(SegmentationConfig(), THIN, num_classes=4, seed=0)
    fill(network)

    class Maps(torch.nn.Module):
        def forward(self, x):
            auxiliary, out = network.backbone(x)
            return {"out": out, "aux": auxiliary}

    reference = FCN(Maps(), network.head, network.auxiliary).eval()
    x = images(1, 3, 61)
    with torch.no_grad():
        expected = reference(x)
        assert torch.equal(network(x)[0], expected["out"])


@pytest.mark.parametrize(("output_stride", "rates"), [(8, [12, 24, 36]), (16, [6, 12, 18])])
def test_the_rates_of_deeplab_follow_the_output_stride(output_stride, rates):
    config = SegmentationConfig(head="deeplabv3", output_stride=output_stride)
    network = build_segmenter(config, THIN, num_classes=4, seed=0)
    convs = [conv[0].dilation[0] for conv in network.head[0].convs[1:4]]
    assert convs == rates
    if output_stride == 8:
        reference = deeplabv3_resnet50(weights=None, weights_backbone=None)
        assert convs == [conv[0].dilation[0] for conv in reference.classifier[0].convs[1:4]]


def test_parameters_are_grouped_from_the_input_to_the_heads():
    network = build_segmenter(SegmentationConfig(), THIN, num_classes=4, seed=0)
    groups = layer_groups(network)
    assert [p for group in groups for p in group].__len__() == len(list(network.parameters()))
    assert groups[:-1] == [group for group in layer_groups(network.backbone.network) if group]
    assert set(groups[-1]) == {*network.head.parameters(), *network.auxiliary.parameters()}


def test_a_network_that_cannot_be_dilated_is_named_with_a_way_out():
    model = TimmConfig(name="inception_v3")
    with pytest.raises(UserError, match=r"timm:inception_v3 cannot be dilated to .* 8") as error:
        build_segmenter(SegmentationConfig(), model, num_classes=4, seed=0)
    assert "task.output_stride=32" in error.value.way_out
