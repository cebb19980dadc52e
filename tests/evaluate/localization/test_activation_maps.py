from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trickbag.errors import UserError
from trickbag.evaluate.localization.activation_maps import CamUndefined, activation_maps
from trickbag.models.zoo import create_model

POOLED = ["timm:test_resnet", "timm:test_efficientnet", "resnet18"]
ALL_POOLED = [
    *("resnet50_d", "resnext50_32x4d", "seresnet50", "skresnet50", "resnetblur50", "mobilenet_v1"),
    *("bl_resnet50", "assemble_resnet50", "inception_v3@128", "timm:densenet121", "timm:dla34"),
    *("timm:tf_efficientnet_lite0", "timm:regnetx_002", "timm:swin_tiny_patch4_window7_224@224"),
    *("timm:test_maxvit@160", "timm:test_nfnet", "timm:mobilenetv2_050", "timm:mobilevit_xxs"),
]
NOT_POOLED = [
    *("timm:mobilenetv3_small_050", "timm:test_convnext", "timm:test_mambaout", "timm:vgg11"),
    *("timm:test_vit2@160", "timm:test_vit4@160"),
]


def pairs(_: Tensor) -> tuple[Tensor, Tensor]:
    """Ask for class 4 of the first image, and classes 0 and 2 of the second."""
    return torch.tensor([0, 1, 1]), torch.tensor([4, 0, 2])


def network_and_images(name: str) -> tuple[nn.Module, Tensor]:
    name, _, size = name.partition("@")
    side = int(size or 64)
    network = create_model(name, num_classes=5).eval()
    return network, torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def check_pooled(name: str) -> None:
    network, images = network_and_images(name)
    cam, logits = activation_maps(network, images, pairs, "cam")
    grad_cam, _ = activation_maps(network, images, pairs, "grad-cam")
    with torch.no_grad():
        torch.testing.assert_close(logits, network(images))
    places = cam[0].numel()
    assert places > 1
    # Zhou et al. 2016, equation 3: the mean of a map is the logit without its bias.
    bias = network.get_classifier().bias  # type: ignore[operator,union-attr]
    sums = cam.mean((1, 2)) + bias[[4, 0, 2]].detach()
    torch.testing.assert_close(sums, logits[[0, 1, 1], [4, 0, 2]], rtol=1e-4, atol=1e-4)
    # Selvaraju et al. 2017, section 3.1: Grad-CAM generalises CAM.
    torch.testing.assert_close(grad_cam, cam.relu() / places, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", POOLED)
def test_cam_and_grad_cam_agree_where_a_linear_layer_follows_the_pooling(name: str) -> None:
    check_pooled(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_POOLED)
def test_cam_and_grad_cam_agree_for_all_such_networks(name: str) -> None:
    check_pooled(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_POOLED)
def test_grad_cam_is_there_for_networks_without_cam(name: str) -> None:
    network, images = network_and_images(name)
    with pytest.raises(CamUndefined, match="CAM is defined for networks that end in global aver"):
        activation_maps(network, images, pairs, "cam")
    maps, _ = activation_maps(network, images, pairs, "grad-cam")
    assert maps.ndim == 3
    assert maps.shape[0] == 3
    assert (maps >= 0).all()


class Tiny(nn.Module):
    """Averages squares of 2 x 2 pixels; a class is a weighted sum of their means."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(3, 2)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.tensor([[1.0, 0, -2], [0, 3, 0]]))

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def forward_features(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 2)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.classifier(features.mean((2, 3)))


def test_maps_by_hand() -> None:
    images = torch.zeros(1, 3, 4, 6)
    images[0, 0, :2, :2] = 5  # red, at the top left
    images[0, 1, 2:, 2:4] = 1  # green, at the bottom in the middle
    images[0, 2, :2, 4:] = 7  # blue, at the top right
    both = lambda _: (torch.tensor([0, 0]), torch.tensor([0, 1]))  # noqa: E731
    cam, _ = activation_maps(Tiny(), images, both, "cam")
    assert cam.tolist() == [[[5, 0, -14], [0, 0, 0]], [[0, 0, 0], [0, 3, 0]]]
    grad_cam, _ = activation_maps(Tiny(), images, both, "grad-cam")
    # Divided by the six places, and what is negative cut off.
    assert (6 * grad_cam).round(decimals=5).tolist() == [
        [[5, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 3, 0]],
    ]


class MaxPooled(Tiny):
    def forward_head(self, features: Tensor) -> Tensor:
        return self.classifier(features.amax((2, 3)))


def test_cam_is_refused_by_what_the_head_computes() -> None:
    images = torch.rand(1, 3, 4, 6)
    first = lambda _: (torch.tensor([0]), torch.tensor([1]))  # noqa: E731
    with pytest.raises(CamUndefined, match=r"MaxPooled does not; take Grad-CAM: --cam grad-cam"):
        activation_maps(MaxPooled(), images, first, "cam")
    maps, _ = activation_maps(MaxPooled(), images, first, "grad-cam")
    # The gradient is that of the largest place, averaged over all.
    assert maps[0] == pytest.approx(3 / 6 * nn.functional.avg_pool2d(images, 2)[0, 1].numpy())


@pytest.mark.parametrize(
    ("network", "shape", "reason"),
    [
        (nn.Conv2d(3, 2, 1), (2, 3, 4, 4), "Conv2d has no last feature map"),
        (Tiny(), (2, 3, 2, 2), "the last map of Tiny has a single place"),
    ],
)
def test_networks_without_places_are_refused(
    network: nn.Module, shape: tuple[int, ...], reason: str
) -> None:
    for method in ("cam", "grad-cam"):
        with pytest.raises(UserError, match=reason):
            activation_maps(network, torch.rand(shape), pairs, method)  # type: ignore[arg-type]


def test_a_class_token_tells_nothing_of_places() -> None:
    network, images = network_and_images("timm:test_vit@160")
    with pytest.raises(UserError, match="classifies by its class token alone"):
        activation_maps(network, images, pairs, "grad-cam")


def test_the_network_and_its_gradients_stay_as_they_are() -> None:
    network, images = network_and_images("timm:test_resnet")
    activation_maps(network, images, pairs, "grad-cam")
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.training
