"""Detectors: losses, objects, samples, initial values, precision and what is frozen."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from tests.models.detection.small import (
    BOXES,
    EXTENTS,
    LABELS,
    MODEL,
    canvas,
    small_config,
    small_detector,
)
from tests.models.families import THINNEST
from tests.models.random_weights import fill
from trickbag.errors import UserError
from trickbag.models import build_network
from trickbag.models.config import TimmConfig
from trickbag.models.counting import count_macs, count_params
from trickbag.models.detection.detector import build_detector
from trickbag.models.gradient_checkpointing import enable_gradient_checkpointing
from trickbag.models.layer_streams import LayerStreams
from trickbag.models.parts import DropBlockPart
from trickbag.models.zoo import layer_groups

FORMS = ["fpn", "single"]
NO_BOXES = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def losses(detector, seed=1, images=None):
    detector.begin(seed)
    images = canvas() if images is None else images
    return detector(images, EXTENTS, BOXES, LABELS)


def backbones():
    """List the families; two of them are in the fast tests."""
    fast = ("bottlenecks", "assemble")
    for name in THINNEST:
        yield pytest.param(name, marks=() if name in fast else (pytest.mark.slow,))


@pytest.mark.parametrize("name", list(backbones()))
@pytest.mark.parametrize("form", FORMS)
def test_every_network_is_a_backbone(name, form):
    settings = {"features": form, "proposal_samples": 8, "eval_proposals": 4}
    detector = small_detector(THINNEST[name].config, **settings).train()
    sum(losses(detector).values()).backward()
    trained = {key: p for key, p in detector.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained.values())
    # Nothing but what lies behind the last stage is frozen.
    frozen = {key for key, _ in detector.named_parameters()} - trained.keys()
    assert all(
        key.startswith(("backbone.network.conv_head", "backbone.network.bn2")) for key in frozen
    )
    objects = detector.eval()(canvas(), EXTENTS)
    for image, (height, width) in zip(objects, EXTENTS.tolist(), strict=True):
        assert len(image.boxes) == len(image.labels) == len(image.scores)
        assert (image.boxes >= 0).all()
        assert (image.boxes <= torch.tensor([width, height, width, height])).all()
        assert (image.labels >= 0).all()
        assert (image.labels < 3).all()
        assert (image.scores.diff() <= 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_step_is_a_function_of_the_seed_alone(form):
    results = []
    for generator_seed in (1, 2):
        torch.manual_seed(generator_seed)
        detector = small_detector(features=form, anchor_samples=16, proposal_samples=8).train()
        sum(losses(detector).values()).backward()
        state = torch.get_rng_state()
        torch.manual_seed(generator_seed)
        assert torch.equal(state, torch.get_rng_state())
        results.append([p.grad for p in detector.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))
    detector = small_detector(features=form, anchor_samples=16, proposal_samples=8).train()
    other = losses(detector, seed=2)
    assert not torch.equal(other["loss_objectness"], losses(detector, seed=1)["loss_objectness"])


@pytest.mark.parametrize("form", FORMS)
def test_a_backbone_has_the_initial_values_of_the_classifier(form):
    detector, again = small_detector(features=form, seed=3), small_detector(features=form, seed=3)
    classifier = build_network(dataclasses.replace(MODEL, num_classes=3), seed=3).state_dict()
    backbone = detector.backbone.network.state_dict()
    assert classifier.keys() - backbone.keys() == {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, classifier[name]) for name, value in backbone.items())
    values, same = detector.state_dict(), again.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in values.items())
    other = small_detector(features=form, seed=4).state_dict()
    weights = [name for name in values if name.endswith("weight") and values[name].ndim > 1]
    assert not any(torch.equal(values[name], other[name]) for name in weights)


def test_layers_of_the_detector_have_the_spread_of_the_papers():
    detector = build_detector(
        small_config(channels=64, head_width=128), MODEL, num_classes=20, seed=0
    )
    predictor = detector.roi_heads.box_predictor
    spread = {
        detector.rpn.head.conv[0][0]: 0.01,
        predictor.cls_score: 0.01,
        predictor.bbox_pred: 0.001,
        detector.roi_heads.box_head.fc7: 128**-0.5,
        detector.pyramid.layer_blocks[0][0]: (9 * 64) ** -0.5,
    }
    for layer, std in spread.items():
        assert float(layer.weight.detach().std()) == pytest.approx(std, rel=0.05)
        assert not layer.bias.any()


@pytest.mark.parametrize("form", FORMS)
def test_each_parameter_has_one_name(form):
    detector = small_detector(features=form)
    values = list(detector.state_dict(keep_vars=True).values())
    assert len({id(value) for value in values}) == len(values)
    assert {name.split(".")[0] for name in detector.state_dict()} <= {
        *("backbone", "pyramid", "rpn", "roi_heads")
    }


def test_a_copy_of_a_detector_is_apart_from_it():
    detector = small_detector(features="single").eval()
    twin = copy.deepcopy(detector)
    before = detector(canvas(), EXTENTS)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(0.1)
    assert torch.equal(detector(canvas(), EXTENTS)[0].boxes, before[0].boxes)
    stage = twin.roi_heads.box_head.stage
    assert set(stage) <= set(twin.modules())


@pytest.mark.parametrize("form", FORMS)
def test_a_canvas_is_filled_up_to_the_largest_stride(form):
    detector = fill(small_detector(features=form, score_threshold=0.0))
    larger = torch.zeros(2, 3, 128, 160)
    larger[:, :, :97, :131] = canvas()
    for image, other in zip(detector(canvas(), EXTENTS), detector(larger, EXTENTS), strict=True):
        assert len(image.boxes)
        assert all(torch.equal(*pair) for pair in zip(image[:3], other[:3], strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_anchors_are_a_stride_apart(form):
    detector = small_detector(features=form)
    seen = []
    handle = detector.rpn.anchor_generator.register_forward_hook(
        lambda module, args, anchors: seen.append((args, anchors))
    )
    detector.eval()(canvas(), EXTENTS)
    handle.remove()
    (((_, maps), (anchors_A4, _)),) = seen
    strides = [4, 8, 16, 32, 64] if form == "fpn" else [16]
    assert [tuple(m.shape[-2:]) for m in maps] == [(-(-128 // s), -(-160 // s)) for s in strides]
    centres_A2 = (anchors_A4[:, :2] + anchors_A4[:, 2:]) / 2
    start = 0
    for stride, map_NCHW in zip(strides, maps, strict=True):
        end = start + map_NCHW.shape[-2] * map_NCHW.shape[-1] * (3 if form == "fpn" else 15)
        level_A2 = centres_A2[start:end]
        assert level_A2.max(0).values.tolist() == [
            stride * (map_NCHW.shape[-1] - 1),
            stride * (map_NCHW.shape[-2] - 1),
        ]
        assert (level_A2 % stride == 0).all()
        start = end
    assert start == len(anchors_A4)


def test_anchors_have_the_sizes_of_the_papers_times_the_scale():
    for scale in (1.0, 0.5):
        pyramid = small_detector(anchor_scale=scale, aspect_ratios=(1.0,)).rpn.anchor_generator
        single = small_detector(
            features="single", anchor_scale=scale, aspect_ratios=(1.0,)
        ).rpn.anchor_generator
        sizes = [scale * size for size in (32, 64, 128, 256, 512)]
        assert [float(cell[0, 2] - cell[0, 0]) for cell in pyramid.cell_anchors] == sizes
        assert [float(x2 - x1) for x1, _, x2, _ in single.cell_anchors[0]] == sizes


def test_padding_and_boxes_without_area_count_for_nothing():
    detector = small_detector().train()
    padding = (torch.tensor([[-1.0, -1, -1, -1], [3, 4, 3, 9]]), torch.tensor([-1, 1]))
    boxes = [torch.cat([boxes, padding[0]]) for boxes in BOXES]
    labels = [torch.cat([labels, padding[1]]) for labels in LABELS]
    detector.begin(1)
    padded = detector(canvas(), EXTENTS, boxes, labels)
    expected = losses(detector)
    assert all(torch.equal(padded[name], expected[name]) for name in expected)


def test_images_without_objects_are_trained_on():
    detector = small_detector().train()
    detector.begin(0)
    result = detector(canvas(), EXTENTS, [NO_BOXES[0]] * 2, [NO_BOXES[1]] * 2)
    sum(result.values()).backward()
    assert result["loss_box_reg"] == result["loss_rpn_box_reg"] == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in detector.parameters())


def test_images_that_could_not_be_read_do_not_count():
    detector = small_detector(backbone_norm="frozen").train()
    detector.begin(1)
    expected = detector(canvas()[1:], EXTENTS[1:], BOXES[1:], LABELS[1:])
    detector.begin(1)
    result = detector(canvas(), EXTENTS * torch.tensor([[0], [1]]), BOXES, LABELS)
    for name, loss in result.items():
        torch.testing.assert_close(loss, expected[name])
    nothing = detector(canvas(), 0 * EXTENTS, [NO_BOXES[0]] * 2, [NO_BOXES[1]] * 2)
    sum(nothing.values()).backward()
    assert not any(nothing.values())
    trained = [p for p in detector.parameters() if p.requires_grad]
    assert not any(p.grad.any() for p in trained)
    objects = detector.eval()(canvas(), 0 * EXTENTS)
    assert [len(image.scores) for image in objects] == [0, 0]


def test_images_with_values_that_are_no_numbers_are_told():
    images = canvas()
    images[0, 0, 50, 50] = torch.nan
    objects = small_detector().eval()(images, EXTENTS)
    assert [image.finite for image in objects] == [False, True]


@pytest.mark.parametrize("form", FORMS)
def test_layers_are_those_of_the_backbone_and_then_the_heads(form):
    detector = small_detector(features=form)
    *backbone, heads = layer_groups(detector)
    assert [p for group in backbone for p in group] == [
        p for group in layer_groups(detector.backbone.network) for p in group
    ]
    assert len(backbone) > 5
    every = [p for group in (*backbone, heads) for p in group]
    assert len(every) == len(set(every)) == len(list(detector.parameters()))


def test_objects_are_found_in_training_mode_and_losses_in_evaluation_mode():
    detector = fill(small_detector(backbone_norm="frozen", score_threshold=0.0))
    expected = detector(canvas(), EXTENTS)
    in_evaluation = losses(detector)
    detector.train()
    for image, other in zip(detector.detect(canvas(), EXTENTS), expected, strict=True):
        assert torch.equal(image.boxes, other.boxes)
    assert all(torch.equal(value, in_evaluation[k]) for k, value in losses(detector).items())
    assert detector.rpn.training
    assert detector.roi_heads.training


def test_frozen_normalisations_stay_as_they_are():
    detector = small_detector(backbone_norm="frozen").train()
    before = {name: value.clone() for name, value in detector.named_buffers()}
    norms = [m for m in detector.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training or norm.weight.requires_grad for norm in norms)
    losses(detector)
    assert all(torch.equal(value, before[name]) for name, value in detector.named_buffers())
    assert detector.eval().train().backbone.training
    trained = small_detector(backbone_norm="batch").train()
    losses(trained)
    assert not torch.equal(
        trained.backbone.network.bn1.running_mean, before["backbone.network.bn1.running_mean"]
    )


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16_has_boxes_and_losses_in_float32(form):
    detector = small_detector(features=form, backbone_norm="frozen").train()
    expected = losses(detector)
    with torch.autocast("cpu", torch.bfloat16):
        result = losses(detector)
        objects = detector.detect(canvas(), EXTENTS)
    sum(result.values()).backward()
    for name, loss in result.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(expected[name].item(), rel=0.1, abs=0.02)
    assert {tensor.dtype for tensor in (objects[0].boxes, objects[0].scores)} == {torch.float32}
    assert {cell.dtype for cell in detector.rpn.anchor_generator.cell_anchors} == {torch.float32}


@pytest.mark.parametrize("form", FORMS)
def test_layouts_of_memory_give_the_same_losses(form):
    detector = small_detector(features=form, backbone_norm="frozen").train()
    expected = losses(detector)
    last = torch.channels_last
    result = losses(detector.to(memory_format=last), images=canvas().to(memory_format=last))
    for name, loss in result.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_checkpointing_changes_nothing(form):
    gradients = []
    for checkpointing in (False, True):
        detector = small_detector(features=form).train()
        if checkpointing:
            enable_gradient_checkpointing(detector)
        sum(losses(detector).values()).backward()
        gradients.append([p.grad for p in detector.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_shapes_alone_are_enough_to_count_and_to_find_random_layers(form):
    model = dataclasses.replace(MODEL, drop=DropBlockPart())
    detector = small_detector(model, features=form).train()
    assert count_params(detector) == sum(p.numel() for p in detector.parameters())
    assert count_macs(detector, (96, 128)) > count_macs(detector, (64, 96))
    streams = LayerStreams(detector, (3, 96, 128))
    results = []
    for seed in (1, 1, 2):
        streams.begin(seed, 0, 0, 0)
        results.append(losses(detector)["loss_objectness"])
    assert results[0] == results[1]


def test_a_last_stage_that_cannot_be_taken_apart_gives_way_to_two_layers():
    detector = small_detector(TimmConfig(name="legacy_xception"), features="single")
    assert [note.kind for note in detector.notes] == ["choice"]
    assert (
        "the last stage of timm:legacy_xception cannot be taken apart" in detector.notes[0].reason
    )
    assert small_detector(TimmConfig(name="resnet18"), features="single").notes == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vit_tiny_patch16_224", "VisionTransformer has no feature maps of several sizes"),
        ("swin_tiny_patch4_window7_224", "takes no image of 224x160 px"),
    ],
)
def test_networks_that_cannot_be_backbones_are_refused_in_a_line(name, reason):
    with pytest.raises(UserError, match=f"timm:{name}.*{reason}.*; take a .*resnet50_d"):
        small_detector(TimmConfig(name=name))


def test_settings_are_checked():
    with pytest.raises(UserError, match=r"detection\.aspect_ratios = \[\]"):
        small_config(aspect_ratios=())
    with pytest.raises(UserError, match=r"detection\.features = 'c4': must be one of fpn, single"):
        small_config(features="c4")
