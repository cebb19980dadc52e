"""What a run settles of timm's networks: the image size they are built for, the auxiliary head."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import timm
import torch

from tests.models.timm.families import FAMILIES
from trickbag.errors import UserError
from trickbag.models import build_network
from trickbag.models.config import TimmConfig
from trickbag.models.counting import count_macs, count_params
from trickbag.models.image_size import default_image_size
from trickbag.models.summary import summary
from trickbag.models.timm.fitting import fit_timm
from trickbag.models.timm.network import network_on_shapes

# All other families take images of 32 px and of 64 px.
REFUSED = {
    *(("eva02_tiny_patch14_224", size) for size in (32, 64)),  # patches of 14 px
    *(("deepseek_vit_412m", size) for size in (32, 64)),
    *(("halonet50ts", size) for size in (32, 64)),  # blocks of 8 px at 1/32 of the image
    *(("efficientformer_l1", size) for size in (32, 64)),  # timm's `img_size` changes no table
    *(("inception_v3", size) for size in (32, 64)),  # windows without padding
    *(("inception_v4", size) for size in (32, 64)),
    *(("inception_resnet_v2", size) for size in (32, 64)),
    ("csatv2", 32),
}
FAST = ("swinv2_tiny_window8_256", "pit_ti_224", "test_resnet")
OTHERS = ("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "botnet26t_256")


def config_of(name: str, **settings: object) -> TimmConfig:
    return TimmConfig(name=name, num_classes=10, **settings)


def fitted(name: str, size: int, **settings: object) -> TimmConfig:
    return fit_timm(config_of(name, **settings), size, size)[0]


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[] if name in FAST else [pytest.mark.slow, *[pytest.mark.long] * (i % 3 > 0)],
        )
        for i, name in enumerate((*FAMILIES, *OTHERS))
    ],
)
def test_small_images(name: str, size: int) -> None:

    def step() -> None:
        network = network_on_shapes(fitted(name, size)).to("meta").train()
        logits = network(torch.empty(4, 3, size, size, device="meta"))
        assert logits.shape == (4, 10)
        logits.sum().backward()

    if (name, size) in REFUSED:
        # A run adds the names of network and size, and the way out (`train.build`).
        with pytest.raises((UserError, RuntimeError, AssertionError)):
            step()
    else:
        step()


def test_a_network_with_tables_of_positions_is_timms_of_that_size() -> None:
    config, notes = fit_timm(config_of("test_vit3"), 32, 32)
    assert config == config_of("test_vit3", image_size=32)
    assert [note.reason for note in notes] == [
        "timm:test_vit3 is built for images of 32 px, where timm's has 160 px"
    ]
    network = build_network(config, seed=0).eval()
    reference = timm.create_model("test_vit3", num_classes=10, img_size=32).eval()
    reference.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(images), reference(images))
    assert default_image_size(config).image_size == 32
    assert summary(config) == "timm's test_vit3, for images of 32 px"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("test_vit3", 160),  # its size
        ("test_vit", 32),  # resamples its table for the images that it gets
        ("test_resnet", 32),
        ("no_such_network", 32),
        ("resnet50.no_such_tag", 32),
    ],
)
def test_other_networks_stay_as_timm_builds_them(name: str, size: int) -> None:
    assert fit_timm(config_of(name), size, size) == (config_of(name), [])


def test_a_part_is_put_into_a_network_of_that_size() -> None:
    from trickbag.models.parts import Silu

    config = config_of("test_vit3", image_size=32, activation=Silu())
    network = build_network(config, seed=0)
    assert any(isinstance(module, torch.nn.SiLU) for module in network.modules())


def test_patches_that_do_not_fill_the_image() -> None:
    with pytest.raises(
        UserError,
        match=r"timm:test_vit3 divides an image into patches of 16x16 px, and 40 px are no "
        r"multiple of 16; choose --image-size 32 or 48, or another network",
    ):
        build_network(fitted("test_vit3", 40), seed=0)


def test_a_size_for_a_network_without_one() -> None:
    with pytest.raises(UserError, match=r"model\.image_size = 32: timm:test_resnet is not built"):
        build_network(config_of("test_resnet", image_size=32), seed=0)


@pytest.mark.slow
def test_inception_has_an_auxiliary_head_where_images_are_large_enough() -> None:
    config, notes = fit_timm(config_of("inception_v3"), 299, 299)
    assert config.auxiliary_weight == 0.4
    assert [note.reason for note in notes] == [
        "the auxiliary head of timm:inception_v3 trains with weight 0.4"
    ]
    # The smallest images of a run decide.
    small, notes = fit_timm(config_of("inception_v3"), 299, 128)
    assert small.auxiliary_weight == 0
    assert "images of 128 px are too small for the auxiliary head" in notes[0].reason
    assert fitted("inception_v3", 299, auxiliary_weight=0.0).auxiliary_weight == 0
    assert fitted("inception_v3", 299, auxiliary_weight=0.3).auxiliary_weight == 0.3
    with pytest.raises(UserError, match=r"auxiliary_weight = 0\.3: images of 96 px are too small"):
        fitted("inception_v3", 96, auxiliary_weight=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception_v3.tf_in1k", "tf_inception_v3"])
def test_every_name_of_inception_has_one(name: str) -> None:
    with pytest.warns() if name.startswith("tf_") else contextlib.nullcontext():
        assert fitted(name, 299).auxiliary_weight == 0.4


@pytest.mark.slow
def test_the_auxiliary_head_takes_part_in_training_alone() -> None:
    plain = network_on_shapes(config_of("inception_v3"))
    network = network_on_shapes(config_of("inception_v3", auxiliary_weight=0.4))
    images = torch.empty(2, 3, 299, 299, device="meta")
    assert [logits.shape for logits in network.train()(images)] == [(2, 10), (2, 10)]
    assert network.eval()(images).shape == (2, 10)
    assert count_params(network) == count_params(plain)
    assert count_macs(network.train(), 299) == count_macs(plain, 299)
    # Counting leaves it in training.
    assert len(network(images)) == 2
    added = set(network.state_dict()) - set(plain.state_dict())
    assert added == {f"AuxLogits.{name}" for name in network.auxiliary.state_dict()}
    assert "an auxiliary head of weight 0.4" in summary(
        config_of("inception_v3", auxiliary_weight=0.4)
    )


@pytest.mark.slow
def test_the_auxiliary_head_changes_no_initial_value() -> None:
    config = config_of("inception_v3")
    plain = build_network(config, seed=3).state_dict()
    both = build_network(dataclasses.replace(config, auxiliary_weight=0.4), seed=3).state_dict()
    assert all(torch.equal(both[name], value) for name, value in plain.items())
    again = build_network(dataclasses.replace(config, auxiliary_weight=0.4), seed=3).state_dict()
    assert all(torch.equal(both[name], value) for name, value in again.items())


def test_an_auxiliary_head_of_another_network() -> None:
    with pytest.raises(UserError, match=r"timm:test_resnet has no auxiliary head"):
        build_network(config_of("test_resnet", auxiliary_weight=0.4), seed=0)
