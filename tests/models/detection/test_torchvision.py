"""Our detectors against torchvision's `FasterRCNN` with the same weights, images and samples."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from tests.models.detection.small import BOXES, EXTENTS, LABELS, canvas, small_detector
from tests.models.random_weights import fill
from trickbag.models.detection.proposals import SeededSampler

EVERY = 100_000
SETTINGS = {
    "anchor_samples": EVERY,
    "proposal_samples": EVERY,
    "backbone_norm": "frozen",
    "score_threshold": 0.05,
}


class Maps(nn.Module):
    """The backbone of a detector in torchvision's form."""

    def __init__(self, detector, channels):
        super().__init__()
        self.backbone, self.pyramid, self.out_channels = (
            detector.backbone,
            detector.pyramid,
            channels,
        )

    def forward(self, images):
        maps = OrderedDict((str(i), x) for i, x in enumerate(self.backbone(images)))
        return maps if self.pyramid is None else self.pyramid(maps)


class Batch(GeneralizedRCNNTransform):
    """torchvision's batches, of images that keep their size."""

    def resize(self, image, target=None):
        return image, target


class LastStage(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.layer4 = network.layer4

    def forward(self, x):
        return self.layer4(x).mean((2, 3))


def reference_of(detector):
    """Return torchvision's detector with the weights of ours."""
    pyramid = detector.pyramid is not None
    sizes = [(32,), (64,), (128,), (256,), (512,)] if pyramid else [(32, 64, 128, 256, 512)]
    options = {
        "box_head": detector.roi_heads.box_head,
        "box_predictor": FastRCNNPredictor(32, 4),
    }
    if not pyramid:
        head = LastStage(detector.backbone.network)
        options = {
            "box_roi_pool": MultiScaleRoIAlign(["0"], 14, 2),
            "box_head": head,
            "box_predictor": FastRCNNPredictor(64, 4),
            "rpn_pre_nms_top_n_train": 12_000,
            "rpn_pre_nms_top_n_test": 6000,
        }
    reference = FasterRCNN(
        Maps(detector, 16 if pyramid else 32),
        rpn_anchor_generator=AnchorGenerator(tuple(sizes), ((0.5, 1.0, 2.0),) * len(sizes)),
        rpn_post_nms_top_n_train=40,
        rpn_post_nms_top_n_test=20,
        box_score_thresh=0.05,
        rpn_batch_size_per_image=EVERY,
        box_batch_size_per_image=EVERY,
        **options,
    )
    reference.roi_heads.box_predictor.load_state_dict(detector.roi_heads.box_predictor.state_dict())
    reference.transform = Batch(96, 160, [0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    reference.rpn.head.load_state_dict(detector.rpn.head.state_dict())
    reference.backbone.train(False)
    return reference


@pytest.mark.parametrize("form", ["fpn", "single"])
def test_losses_and_objects_are_those_of_torchvision(form):
    detector = small_detector(features=form, **SETTINGS).eval()
    # Larger values in the heads would leave one box of all after suppression.
    fill(detector.backbone)
    reference = reference_of(detector).eval()
    images = [
        image[:, :height, :width]
        for image, (height, width) in zip(canvas(), EXTENTS.tolist(), strict=True)
    ]
    with torch.no_grad():
        expected = reference(images)
    assert sum(len(image["boxes"]) for image in expected) > 10
    for image, other in zip(detector(canvas(), EXTENTS), expected, strict=True):
        torch.testing.assert_close(image.boxes, other["boxes"])
        torch.testing.assert_close(image.scores, other["scores"])
        assert torch.equal(image.labels + 1, other["labels"])
    reference.rpn.training = reference.roi_heads.training = reference.training = True
    targets = [
        {"boxes": boxes, "labels": labels + 1} for boxes, labels in zip(BOXES, LABELS, strict=True)
    ]
    expected = reference(images, targets)
    losses = detector(canvas(), EXTENTS, BOXES, LABELS)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])
        assert loss.item() > 0


@pytest.mark.parametrize("number", [0, 4, 16, 1000])
def test_samples_are_those_of_torchvision_with_the_same_generator(number):
    labels = [
        torch.randint(-1, 3, (n,), generator=torch.Generator().manual_seed(n)) for n in (40, 7)
    ]
    sampler = SeededSampler(number, 0.25)
    sampler.generator.manual_seed(5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = BalancedPositiveNegativeSampler(number, 0.25)(labels)
    for masks, others in zip(sampler(labels), expected, strict=True):
        assert all(torch.equal(*pair) for pair in zip(masks, others, strict=True))


def test_a_region_of_a_small_image_is_pooled_from_the_map_of_its_stride():
    # torchvision takes the stride of the first map from the largest extent: 64 / 70 px is 1.
    detector = small_detector()
    pool = detector.roi_heads.box_roi_pool
    maps = OrderedDict(
        (str(i), torch.full((1, 1, 64 // 2**i, 64 // 2**i), float(i))) for i in range(4)
    )
    sides = torch.tensor([16.0, 60.0, 120.0, 224.0, 250.0, 256.0])
    boxes = torch.stack([torch.zeros(6), torch.zeros(6), sides, sides], 1)
    pooled = pool(maps, [boxes], [(70, 70)])
    # Lin et al. 2017, equation 1: floor(4 + log2(side / 224)), the first map being that of 2.
    assert pooled.mean((1, 2, 3)).tolist() == [0, 0, 1, 2, 2, 2]
    assert pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
