"""Weights files: what is read back, what does not fit, and what a failed write leaves."""

from __future__ import annotations

import json
import resource

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.models.metadata import metadata_of
from tests.models.random_weights import fill, images
from trickbag.errors import RunFailed, UserError
from trickbag.models import create_model, load
from trickbag.models.config import TimmConfig
from trickbag.models.weights import (
    load_weights,
    load_with_metadata,
    save_weights,
    weights_digest,
)
from trickbag.models.weights_metadata import WeightsMetadata

TIMM = TimmConfig(name="levit_128s", num_classes=3)


def resnet(classes: int = 4, name: str = "resnet18_d") -> nn.Module:
    return fill(create_model(name, num_classes=classes))


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def saved(tmp_path):
    network = resnet()
    save_weights(network, tmp_path / "best.safetensors", metadata_of(network.config))
    return network, tmp_path / "best.safetensors"


# What is read back


def test_a_network_comes_back_whole(saved):
    network, path = saved
    for source in (path, path.parent, str(path.parent)):
        again, metadata = load_with_metadata(source)
        assert metadata == metadata_of(network.config)
        assert again.config == network.config
        assert equal(state(again), state(network))
        assert not any(module.training for module in again.modules())
    assert torch.equal(load(path)(images(2, 3, 40)), network(images(2, 3, 40)))
    assert WeightsMetadata.read(path.parent) == metadata_of(network.config)


def test_a_timm_network_comes_back(tmp_path):
    config = TimmConfig(name="mobilenetv3_small_050", num_classes=3)
    network = fill(timm.create_model(config.name, num_classes=3))
    save_weights(network, tmp_path / "w.safetensors", metadata_of(config))
    assert equal(state(load(tmp_path / "w.safetensors")), state(network))


def test_the_same_weights_give_the_same_bytes(saved, tmp_path):
    network, path = saved
    metadata = metadata_of(network.config)
    network.to(memory_format=torch.channels_last)
    save_weights(network, tmp_path / "again.safetensors", metadata)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert weights_digest(tmp_path) == weights_digest(tmp_path / "again.safetensors")
    network.fc.bias.data += 1
    save_weights(network, path, metadata)
    assert weights_digest(path) != weights_digest(tmp_path / "again.safetensors")


def test_the_file_is_plain_safetensors_with_one_json_text(saved):
    network, path = saved
    assert equal(load_file(path), state(network))
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    assert set(header["__metadata__"]) == {"trickbag"}
    text = header["__metadata__"]["trickbag"]
    record = json.loads(text)
    assert record.pop("checksum").startswith("crc32:")
    assert record == metadata_of(network.config).to_dict()


def test_tied_weights_are_written(tmp_path):
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    save_weights(network, tmp_path / "w.safetensors", metadata_of(TIMM))
    other = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    assert load_weights(other, tmp_path / "w.safetensors") == []
    assert equal(state(other), state(network))


# The classifier, and weights that may be missing


def test_a_classifier_for_another_number_of_classes_starts_at_zero(saved):
    network, path = saved
    other = create_model("resnet18_d", num_classes=7, seed=9)
    assert other.fc.weight.any()
    (note,) = load_weights(other, path)
    assert (note.kind, note.trick) == ("weights", None)
    assert note.text == f"the classifier starts anew: {path} has 4 classes, this network 7"
    assert not other.fc.weight.any()
    assert not other.fc.bias.any()
    body = {name: value for name, value in state(other).items() if not name.startswith("fc.")}
    assert equal(
        body, {name: value for name, value in state(network).items() if not name.startswith("fc.")}
    )


def test_the_classifier_of_a_timm_network_is_found(tmp_path):
    donor = fill(timm.create_model(TIMM.name, num_classes=TIMM.num_classes))
    save_weights(donor, tmp_path / "w.safetensors", metadata_of(TIMM))
    network = timm.create_model(TIMM.name, num_classes=5)
    (note,) = load_weights(network, tmp_path / "w.safetensors")
    assert "3 classes" in note.text
    after, given = state(network), load_file(tmp_path / "w.safetensors")
    anew = {name for name in after if after[name].shape != given[name].shape}
    assert anew == {
        "head.linear.weight",
        "head.linear.bias",
        "head_dist.linear.weight",
        "head_dist.linear.bias",
    }
    for name, tensor in after.items():
        assert torch.equal(tensor, torch.zeros_like(tensor) if name in anew else given[name])


def test_weights_without_a_classifier_are_taken(tmp_path):
    tensors = {name: value for name, value in state(resnet()).items() if not name.startswith("fc.")}
    save_file(tensors, tmp_path / "w.safetensors")
    (note,) = load_weights(create_model("resnet18_d", num_classes=2), tmp_path / "w.safetensors")
    assert "no classifier" in note.text


def test_batch_counters_may_be_missing(tmp_path):
    network = resnet()
    tensors = {
        name: value
        for name, value in state(network).items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(tensors, tmp_path / "w.safetensors")
    other = create_model("resnet18_d", num_classes=4)
    assert load_weights(other, tmp_path / "w.safetensors") == []
    assert torch.equal(other.layer4[1].bn2.running_var, network.layer4[1].bn2.running_var)


# What does not fit


def broken(change: str) -> dict[str, torch.Tensor]:
    tensors = state(resnet())
    if change == "missing":
        del tensors["layer1.0.conv1.weight"], tensors["fc.bias"]
    elif change == "unknown":
        tensors |= {f"extra{i}": torch.ones(1) for i in range(5)}
    elif change == "shape":
        tensors["layer2.0.conv1.weight"] = torch.ones(128, 32, 3, 3)
    else:
        tensors["fc.weight"] = torch.ones(4, 256)
    return tensors


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("missing", r"missing layer1\.0\.conv1\.weight, fc\.bias;"),
        ("unknown", r"unknown extra0, extra1, extra2 and 2 more;"),
        ("shape", r"another shape layer2\.0\.conv1\.weight 128x32x3x3 for 128x64x3x3;"),
        ("head", r"another shape fc\.weight 4x256 for 4x512;"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(tmp_path, change, says):
    save_file(broken(change), tmp_path / "w.safetensors")
    network = create_model("resnet18_d", num_classes=4)
    before = state(network)
    with pytest.raises(UserError, match=says) as info:
        load_weights(network, tmp_path / "w.safetensors")
    assert "w.safetensors does not fit" in str(info.value)
    assert equal(state(network), before)


def test_the_network_of_a_file_must_fit_to_the_last_weight(tmp_path):
    save_weights(
        resnet(classes=4),
        tmp_path / "w.safetensors",
        metadata_of(resnet(classes=5).config),
    )
    with pytest.raises(UserError, match=r"fc\.weight 4x512 for 5x512"):
        load(tmp_path / "w.safetensors")


# Files that are no weights


def no_file(folder):
    return folder / "nothing.safetensors"


def no_run(folder):
    (folder / "somewhere").mkdir()
    return folder / "somewhere"


def empty(folder):
    (folder / "w.safetensors").touch()
    return folder / "w.safetensors"


def text(folder):
    (folder / "w.safetensors").write_text("these are no weights, but long enough to look like some")
    return folder / "w.safetensors"


def pickled(folder):
    torch.save({"fc.weight": torch.ones(2)}, folder / "w.safetensors")
    return folder / "w.safetensors"


def truncated(folder):
    network = resnet()
    save_weights(network, folder / "complete", metadata_of(network.config))
    (folder / "w.safetensors").write_bytes((folder / "complete").read_bytes()[:-100])
    return folder / "w.safetensors"


def folder_in_place(folder):
    (folder / "best.safetensors").mkdir()
    return folder


@pytest.mark.parametrize(
    "make", [no_file, no_run, empty, text, pickled, truncated, folder_in_place]
)
@pytest.mark.parametrize(
    "read", [load, WeightsMetadata.read, lambda path: load_weights(nn.Linear(2, 2), path)]
)
def test_files_that_are_no_weights(tmp_path, make, read):
    path = make(tmp_path)
    with pytest.raises(UserError) as info:
        read(path)
    message = str(info.value)
    assert str(path) in message
    assert "give" in message
    assert "\n" not in message


# A failed write


def test_a_failed_write_leaves_the_file_before_it(saved):
    network, path = saved
    before = path.read_bytes()
    network.fc.bias.data += 1
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(RunFailed, match=r"best\.safetensors"):
            save_weights(network, path, metadata_of(network.config))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_folder_is_a_failed_run(tmp_path):
    with pytest.raises(RunFailed, match="No such file"):
        save_weights(nn.Linear(1, 1), tmp_path / "gone" / "w.safetensors", metadata_of(TIMM))
