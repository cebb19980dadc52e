"""One table drives what every corruption has to keep."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.builders.fake_mps import fake_mps
from trickbag.errors import UserError
from trickbag.evaluate.robustness.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    TABLES,
    corrupt,
    table_for,
)

PUBLISHED_ORDER = {
    "noise": ["gaussian_noise", "shot_noise", "impulse_noise"],
    "blur": ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur"],
    "weather": ["snow", "frost", "fog", "brightness"],
    "digital": ["contrast", "elastic_transform", "pixelate", "jpeg_compression"],
    "extra": ["speckle_noise", "gaussian_blur", "spatter", "saturate"],
}
WITHOUT_CHANCE = {
    *("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"),
    *("gaussian_blur", "saturate"),
}
NOT_MONOTONE = {
    "frost": "its image's weight falls as the frost's grows, which can cancel in the mean",
    "elastic_transform": "severities 1 and 2 move the corners most, 3 to 5 shift the pixels",
    "saturate": "severities 1 and 2 take colour away, 3 to 5 add it",
    "snow": "severity 3 has larger and fewer flakes than 2",
    "spatter": "severities 1 to 3 are water, 4 and 5 mud",
    "glass_blur": "severity 2 has one round of shuffling, 1 has two; of CIFAR-10-C, 4 blurs less",
    "defocus_blur": "of Tiny-ImageNet-C, severity 1 blurs the edge of its disk most",
}
SIZES = [(3, 8, 8), (3, 17, 40), (3, 33, 9), (1, 8, 8), (3, 1, 5)]


def photos(count: int, channels: int, height: int, width: int) -> Tensor:
    """Smooth, differing images with edges (N, C, H, W)."""
    rng = np.random.default_rng(height * width)
    y, x = np.mgrid[:height, :width] / max(height, width)
    phase = rng.uniform(0, 6, (count, channels, 1, 1))
    waves = np.sin(phase + 9 * x * phase) + np.cos(2 * phase + 7 * y)
    values = 128 + 50 * waves + 40 * (x > y) + rng.normal(0, 5, waves.shape)
    return torch.from_numpy(values.clip(0, 255).astype(np.uint8))


def test_the_corruptions_stand_in_the_published_order() -> None:
    assert list(CORRUPTIONS) == list(chain(*PUBLISHED_ORDER.values()))
    groups = {name: group for group, names in PUBLISHED_ORDER.items() for name in names}
    assert {name: corruption.group for name, corruption in CORRUPTIONS.items()} == groups
    assert all(name == corruption.name for name, corruption in CORRUPTIONS.items())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_any_size_gives_images_of_the_same_size_and_the_input_stays(name: str) -> None:
    for size in SIZES:
        if not CORRUPTIONS[name].takes(size[0]):
            continue
        images = photos(2, *size)
        before = images.clone()
        for table, severity in (("auto", 1), ("imagenet_c", 5)):
            result = corrupt(images, name, severity, seed=0, index_N=[0, 1], table=table)
            assert result.shape == images.shape
            assert result.dtype == torch.uint8
        assert torch.equal(images, before)
    assert corrupt(images[:0], name, 1, seed=0, index_N=[]).shape == images[:0].shape


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_the_same_in_any_batch(name: str) -> None:
    images, index = photos(5, 3, 20, 31), [4, 0, 9, 7, 2]
    batch = corrupt(images, name, 3, seed=1, index_N=index)
    assert torch.equal(batch, corrupt(images, name, 3, seed=1, index_N=np.array(index)))
    for order in ([3], [2, 0], [4, 3, 2, 1, 0]):
        chosen = torch.tensor(index)[order]
        part = corrupt(images[order], name, 3, seed=1, index_N=chosen)
        assert torch.equal(part, batch[order])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_and_the_index_change_what_is_random(name: str) -> None:
    images = photos(1, 3, 48, 48).expand(3, -1, -1, -1)
    first, second, _ = batch = corrupt(images, name, 3, seed=0, index_N=[0, 1, 0])
    assert torch.equal(first, batch[2])
    other = corrupt(images[:1], name, 3, seed=1, index_N=[0])[0]
    assert torch.equal(first, second) == (name in WITHOUT_CHANCE)
    assert torch.equal(first, other) == (name in WITHOUT_CHANCE)


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in NOT_MONOTONE])
def test_a_higher_severity_is_farther_from_the_image(name: str) -> None:
    corruption = CORRUPTIONS[name]
    for table, side in (("cifar10_c", 32), ("tiny_imagenet_c", 48)):
        images = photos(6, 3, side, side)
        numbers = [
            corruption.draws_of(0, 1, i, (3, side, side), TABLES[table].at(name, 1))
            for i in range(len(images))
        ]
        draws = {
            key: torch.from_numpy(np.stack([each[key] for each in numbers])) for key in numbers[0]
        }
        distances = []
        for severity in SEVERITIES:
            result = corruption.apply(images, draws, TABLES[table].at(name, severity))
            distances.append((result - images.int()).double().square().mean().item())
        assert distances[0] > 0
        # A longer line of motion at the same deviation changes next to nothing.
        assert all(low <= 1.001 * high for low, high in pairwise(distances)), (table, distances)


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ((8, 8), "cifar10_c"),
        ((32, 32), "cifar10_c"),
        ((45, 300), "cifar10_c"),
        ((46, 46), "tiny_imagenet_c"),
        ((64, 64), "tiny_imagenet_c"),
        ((500, 119), "tiny_imagenet_c"),
        ((120, 120), "imagenet_c"),
        ((224, 224), "imagenet_c"),
        ((1000, 2000), "imagenet_c"),
    ],
)
def test_the_table_of_the_nearest_size_is_taken(size: tuple[int, int], name: str) -> None:
    assert table_for(*size).name == name
    assert table_for(*size, "tiny_imagenet_c").name == "tiny_imagenet_c"


def test_the_named_table_is_used() -> None:
    images = photos(1, 3, 32, 32)
    results = [corrupt(images, "contrast", 1, seed=0, index_N=[0], table=table) for table in TABLES]
    assert torch.equal(results[0], results[1])  # both have the factor 0.4
    assert not torch.equal(results[0], results[2])
    assert torch.equal(results[2], corrupt(images, "contrast", 1, seed=0, index_N=[0]))


SPECIFICATION = {
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot_noise": (60, 25, 12, 5, 3),
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    "speckle_noise": (0.15, 0.2, 0.35, 0.45, 0.6),
    "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "frost": ((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    "jpeg_compression": (25, 18, 15, 10, 7),
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    "gaussian_blur": (1, 2, 3, 4, 6),
    "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
}


@pytest.mark.parametrize("name", SPECIFICATION)
def test_the_table_of_imagenet_c_is_the_published_one(name: str) -> None:
    assert getattr(TABLES["imagenet_c"], name) == SPECIFICATION[name]


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_five_severities_of_every_corruption(table: str) -> None:
    for name in CORRUPTIONS:
        assert len({str(TABLES[table].at(name, severity)) for severity in SEVERITIES}) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "rain"}, "'rain' is not a corruption; there are brightness, "),
        ({"severity": 0}, "severity is 0; it is 1, 2, 3, 4 or 5"),
        ({"severity": 6}, "severity is 6; it is 1, 2, 3, 4 or 5"),
        ({"table": "mnist_c"}, "there is no table of corruptions 'mnist_c'; take one of auto, "),
        ({"images": torch.zeros(2, 3, 8, 8)}, "corruptions need uint8 images (N, C, H, W) of at"),
        ({"images": torch.zeros(3, 8, 8, dtype=torch.uint8)}, "corruptions need uint8 images"),
        ({"images": torch.zeros(2, 3, 0, 8, dtype=torch.uint8)}, "corruptions need uint8 images"),
        ({"index_N": [1]}, "there are 2 images and 1 indices of images"),
        (
            {"name": "saturate", "images": photos(2, 1, 8, 8)},
            "saturate needs images of 3 channels; these have 1; leave it out",
        ),
        (
            {"name": "snow", "images": photos(2, 4, 8, 8)},
            "snow needs images of 1 or 3 channels; these have 4; leave it out",
        ),
    ],
)
def test_wrong_input_is_named(change: dict[str, object], message: str) -> None:
    arguments = {
        "images": photos(2, 3, 8, 8),
        "name": "contrast",
        "severity": 1,
        "seed": 0,
        "index_N": [0, 1],
    } | change
    images = arguments.pop("images")
    with pytest.raises(UserError) as caught:
        corrupt(images, **arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_grey_images_are_as_colour_images_of_the_same_grey() -> None:
    grey = photos(2, 1, 24, 24)
    colour = grey.expand(-1, 3, -1, -1)
    for name in ("defocus_blur", "zoom_blur", "brightness", "contrast", "gaussian_blur", "snow"):
        one_channel = corrupt(grey, name, 3, seed=0, index_N=[0, 1])
        three = corrupt(colour, name, 3, seed=0, index_N=[0, 1])
        assert (three - one_channel.int()).abs().max() <= 1, name


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_device_without_float64_gives_the_same_images_but_for_a_level(name: str) -> None:
    images = photos(2, 3, 20, 26)
    here = corrupt(images, name, 3, seed=0, index_N=[0, 1])
    with fake_mps():
        there = corrupt(images.to("mps"), name, 3, seed=0, index_N=[0, 1]).cpu()
    difference = (there - here.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.01


@pytest.mark.parametrize("name", ["pixelate", "gaussian_blur", "elastic_transform", "snow"])
def test_neither_autocast_nor_the_memory_format_changes_an_image(name: str) -> None:
    images = photos(2, 3, 24, 24)
    alone = corrupt(images, name, 3, seed=0, index_N=[0, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(corrupt(images, name, 3, seed=0, index_N=[0, 1]), alone)
    last = images.to(memory_format=torch.channels_last)
    assert torch.equal(corrupt(last, name, 3, seed=0, index_N=[0, 1]), alone)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_device_gives_the_same_images(name: str) -> None:
    for images in (photos(4, 3, 32, 32), photos(3, 3, 224, 224)):
        index = range(len(images))
        for severity in (1, 5):
            here = corrupt(images, name, severity, seed=0, index_N=index)
            there = corrupt(images.cuda(), name, severity, seed=0, index_N=index)
            assert there.is_cuda
            difference = (there.cpu() - here.int()).abs()
            assert difference.max() <= 1
            assert (difference > 0).float().mean() < 1e-3
