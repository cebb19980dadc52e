"""Weights of a network of timm in the same network of another image size, or another head."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import checkpoint_filter_fn

from tests.models.timm.families import on_shapes
from trickbag.data.config import DataConfig
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import UserError
from trickbag.models import build_network
from trickbag.models.config import TimmConfig
from trickbag.models.pretrained import load_pretrained
from trickbag.models.timm.loading import fit_tensors
from trickbag.models.timm.network import network_on_shapes
from trickbag.models.weights import load_weights, save_weights
from trickbag.models.weights_metadata import WeightsMetadata

VIT = TimmConfig(name="test_vit3", num_classes=3)


def at_size(size: int, classes: int = 3, name: str = VIT.name) -> TimmConfig:
    return dataclasses.replace(VIT, name=name, image_size=size, num_classes=classes)


def test_the_table_of_positions_is_resampled_by_timm(tmp_path: Path) -> None:
    donor, network = build_network(VIT, seed=1), build_network(at_size(48, 5), seed=2)
    state = {name: tensor.clone() for name, tensor in donor.state_dict().items()}
    save_file(state, tmp_path / "vit.safetensors")
    notes = load_weights(network, tmp_path / "vit.safetensors")
    loaded = network.state_dict()
    expected = checkpoint_filter_fn(dict(state), network)
    assert loaded["pos_embed"].shape == (1, 10, 96)
    assert torch.equal(loaded["pos_embed"], expected["pos_embed"])
    for name, tensor in loaded.items():
        if name != "pos_embed":
            # A classifier for other classes starts at zero on loaded weights.
            is_head = name in ("head.weight", "head.bias")
            expected_tensor = torch.zeros_like(tensor) if is_head else state[name]
            assert torch.equal(tensor, expected_tensor), name
    file = tmp_path / "vit.safetensors"
    assert notes[0].reason == (
        f"{file} is for images of another size: timm resampled its pos_embed from 1x101x96 to "
        "1x10x96"
    )
    assert "the classifier starts anew" in notes[1].reason


def test_published_weights_are_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model
    # The hub cannot be reached: random weights stand for the published ones.
    monkeypatch.setattr("trickbag.models.pretrained._reach_hub", lambda name: None)
    monkeypatch.setattr(
        timm,
        "create_model",
        lambda name, **options: create(name, **options | {"pretrained": False}),
    )
    network = build_network(at_size(32), seed=1)
    notes = load_pretrained(network, at_size(32))
    assert notes[0].reason == "weights of timm's test_vit3"
    assert any("resampled its pos_embed from 1x101x96 to 1x5x96" in n.reason for n in notes)


@pytest.mark.parametrize(
    "name",
    ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "beit_base_patch16_224"],
)
@pytest.mark.slow
def test_the_tables_of_other_families_are_resampled(name: str) -> None:
    network = build_network(at_size(64, name=name), seed=0)
    donor = build_network(dataclasses.replace(VIT, name=name), seed=0)
    fitting = fit_tensors(network, donor.state_dict(), "weights")
    network.load_state_dict(dict(fitting.tensors))
    # The tables of SwinV2 are computed by a small network of the places.
    assert len(fitting.notes) == (0 if name.startswith("swinv2") else 1)


def test_a_family_that_timm_cannot_resample_is_refused() -> None:
    network = network_on_shapes(at_size(64, name="pit_ti_224"))
    donor = network_on_shapes(dataclasses.replace(VIT, name="pit_ti_224"))
    with pytest.raises(
        UserError,
        match=r"^weights is for images of another size, and timm cannot resample .* of Pooling.*: "
        r".*pos_embed is 1x64x27x27 for 1x64x7x7; choose the --image-size of the weights",
    ):
        fit_tensors(network, donor.state_dict(), "weights")


def test_weights_of_another_network_are_not_resampled() -> None:
    donor, network = on_shapes("test_vit"), network_on_shapes(at_size(48))
    state = donor.state_dict()
    assert fit_tensors(network, state, "weights") == (state, frozenset(), ())


def test_weights_with_and_without_an_auxiliary_head() -> None:
    config = TimmConfig(name="inception_v3", num_classes=3)
    plain = network_on_shapes(config)
    both = network_on_shapes(dataclasses.replace(config, auxiliary_weight=0.4))
    with_head, without = both.state_dict(), plain.state_dict()
    tensors, fresh, notes = fit_tensors(plain, with_head, "weights")
    assert (tensors.keys(), fresh) == (without.keys(), frozenset())
    assert [note.reason for note in notes] == [
        "weights has an auxiliary head, which this network has not"
    ]
    tensors, fresh, notes = fit_tensors(both, without, "weights")
    assert (tensors, fresh) == (without, with_head.keys() - without.keys())
    assert [note.reason for note in notes] == ["the auxiliary head starts anew: weights has none"]
    assert fit_tensors(both, with_head, "weights").notes == ()
    assert fit_tensors(plain, without, "weights").notes == ()


@pytest.mark.slow
def test_other_classes_of_a_network_with_an_auxiliary_head(tmp_path: Path) -> None:
    config = TimmConfig(name="inception_v3", num_classes=3, auxiliary_weight=0.4)
    plain = dataclasses.replace(config, auxiliary_weight=0.0)
    five = dataclasses.replace(config, num_classes=5)
    for given, names in ((config, {"fc", "AuxLogits.fc"}), (plain, {"fc", "AuxLogits"})):
        donor, network = build_network(given, seed=1), build_network(five, seed=2)
        fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        save_file(donor.state_dict(), tmp_path / "weights.safetensors")
        load_weights(network, tmp_path / "weights.safetensors", config=five)
        for name, tensor in network.state_dict().items():
            anew = any(name.startswith(f"{part}.") for part in names)
            expected = fresh[name] if anew else donor.state_dict()[name]
            if name.startswith(("fc.", "AuxLogits.fc.")):  # new rows are zero
                expected = torch.zeros_like(tensor)
            assert torch.equal(tensor, expected), name


def of_shape(image_size: int | tuple[int, int], seed: int) -> tuple[torch.nn.Module, TimmConfig]:
    config = dataclasses.replace(VIT, image_size=image_size)
    return build_network(config, seed=seed), config


def saved(path: Path, network: torch.nn.Module, config: TimmConfig) -> Path:
    preprocessing = Preprocessing.of(DataConfig(), config.image_size or 160)
    classes = ("a", "b", "c")
    metadata = WeightsMetadata(model=config, classes=classes, preprocessing=preprocessing)
    save_weights(network, path, metadata)
    return path


@pytest.mark.parametrize(
    ("before", "now", "grid", "new_grid"),
    [
        # As many places, but other ones.
        (64, (32, 128), (4, 4), (2, 8)),
        ((32, 128), 64, (2, 8), (4, 4)),
        pytest.param((32, 128), (128, 32), (2, 8), (8, 2), marks=pytest.mark.slow),
        pytest.param(64, (32, 64), (4, 4), (2, 4), marks=pytest.mark.slow),
        # 16 places, which would also be those of a square.
        ((32, 128), 32, (2, 8), (2, 2)),
    ],
)
def test_places_of_images_that_are_not_square(
    before: int | tuple[int, int],
    now: int | tuple[int, int],
    grid: tuple[int, int],
    new_grid: tuple[int, int],
    tmp_path: Path,
) -> None:
    donor, config = of_shape(before, 1)
    network, network_config = of_shape(now, 2)
    file = saved(tmp_path / "vit.safetensors", donor, config)
    notes = load_weights(network, file, config=network_config, classes=("a", "b", "c"))
    table = donor.state_dict()["pos_embed"]
    expected = resample_abs_pos_embed(table, list(new_grid), list(grid))
    torch.testing.assert_close(network.state_dict()["pos_embed"], expected)
    assert not torch.equal(expected[:, : table.shape[1]], table[:, : expected.shape[1]])
    assert "is for images of another s" in notes[0].reason


def test_the_same_shape_needs_nothing(tmp_path: Path) -> None:
    donor, config = of_shape((32, 128), 1)
    network, _ = of_shape((32, 128), 2)
    file = saved(tmp_path / "vit.safetensors", donor, config)
    notes = load_weights(network, file, config=config, classes=("a", "b", "c"))
    assert torch.equal(network.state_dict()["pos_embed"], donor.state_dict()["pos_embed"])
    assert not [note for note in notes if "images of another" in note.reason]


def test_places_that_timm_takes_for_a_square_are_refused() -> None:
    config = TimmConfig(name="deit_tiny_distilled_patch16_224", num_classes=3)
    wide = network_on_shapes(dataclasses.replace(config, image_size=(32, 128)))
    with pytest.raises(UserError, match=r"are for images of 128x32 px.*choose the --image-size of"):
        fit_tensors(wide, dict(wide.state_dict()), "w.safetensors", (128, 32))


def test_places_that_timm_leaves_as_they_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    donor, _ = of_shape(64, 1)
    network, _ = of_shape((32, 128), 2)
    module = "timm.models.vision_transformer"
    monkeypatch.setattr(f"{module}.checkpoint_filter_fn", lambda tensors, model: tensors)
    with pytest.raises(UserError, match=r"cannot resample .*: its pos_embed stays as it is"):
        fit_tensors(network, donor.state_dict(), "w.safetensors", 64)
