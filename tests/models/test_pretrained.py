"""Published weights: from the hub's cache, and one line if there are none."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from tests.models.random_weights import fill
from trickbag.errors import UserError
from trickbag.models import build_network, create_model
from trickbag.models.config import (
    MobileNetConfig,
    ResNetConfig,
    TimmConfig,
    model_config,
    model_names,
)
from trickbag.models.parts import AssembleKernel, Blur, Relu6, Silu, SplitKernel, SqueezeExcitePart
from trickbag.models.pretrained import load_pretrained, pretrained_names, timm_name
from trickbag.models.zoo import raw_network


def test_names_in_timm():
    names = {
        name: timm_name(model_config(name))
        for name in ("resnet18_a", "resnet50", "resnet50_b", "resnet50_c", "resnet101_d")
    }
    assert names == {
        "resnet18_a": "resnet18",
        "resnet50": "resnet50",
        "resnet50_b": "resnet50",
        "resnet50_c": "resnet50c",
        "resnet101_d": "resnet101d",
    }
    others = {
        name: timm_name(model_config(name))
        for name in model_names()
        if not name.startswith("resnet1")
    }
    published = {name: other for name, other in others.items() if other is not None}
    assert {k: v for k, v in published.items() if not k.startswith("resnet")} == {
        "resnext50_32x4d": "resnext50_32x4d",
        "resnext50_32x4d_c": "resnext50c_32x4d",
        "resnext50_32x4d_d": "resnext50d_32x4d",
        "resnext101_32x4d": "resnext101_32x4d",
        "resnext101_32x4d_c": "resnext101c_32x4d",
        "resnext101_32x4d_d": "resnext101d_32x4d",
        "seresnet50": "seresnet50",
        "seresnext50_32x4d": "seresnext50_32x4d",
        "skresnet50": "skresnet50",
        "skresnext50_32x4d": "skresnext50_32x4d",
        "densenet201": "densenet201",
        "inception_v3": "inception_v3",
        **{f"efficientnet_b{i}": f"tf_efficientnet_b{i}" for i in range(8)},
    }
    assert (others["resnetblur50"], others["resnetaa50d"]) == ("resnetblur50", "resnetaa50d")
    assert timm_name(model_config("resnet50_a")) is None
    assert timm_name(ResNetConfig(stem="small_s1")) is None
    assert timm_name(TimmConfig(name="vgg11")) == "vgg11"
    assert (
        timm_name(ResNetConfig(width_factor=0.5)) is timm_name(ResNetConfig(depth_factor=2)) is None
    )
    assert timm_name(MobileNetConfig(activation=Relu6())) == "mobilenetv1_100"
    assert timm_name(MobileNetConfig(activation=Relu6(), width_factor=1.25)) == "mobilenetv1_125"
    assert timm_name(MobileNetConfig(activation=Relu6(), width_factor=0.75)) is None


def test_names_with_weights():
    names = pretrained_names()
    assert {"resnet18", "resnet34_d", "resnet50", "resnet50_c", "resnet152_d"} <= set(names)
    assert {
        "resnext50_32x4d_d",
        "seresnet50",
        "seresnext50_32x4d",
        "resnetblur50",
        "resnetaa50d",
    } <= set(names)
    assert not {"resnet50_a", "resnet18_c", "resnet50_b", "resnext50_32x4d_c", "skresnet50"} & set(
        names
    )


@pytest.mark.parametrize("name", pretrained_names())
def test_a_name_in_timm_means_the_same_network(name):
    config = dataclasses.replace(model_config(name), num_classes=1000)
    with torch.device("meta"):
        ours = (
            build_network(config, seed=0) if isinstance(config, TimmConfig) else raw_network(config)
        )
        reference = timm.create_model(timm_name(config))
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in reference.state_dict().items()
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": Silu()},
        {"attention": SqueezeExcitePart(reduction=8)},
        {"anti_alias": Blur()},
        {"selective_kernel": AssembleKernel()},
        {"selective_kernel": SplitKernel(), "attention": SqueezeExcitePart()},
        {"last_stride": 1},
        {"pooling": "tensorflow"},
        {"base_width": 100},
    ],
)
def test_a_slot_with_another_part_has_no_published_weights(changes):
    config = ResNetConfig(**changes)
    assert timm_name(config) is None
    with pytest.raises(
        UserError, match="no pretrained weights of resnet50 with .*" + list(changes)[-1]
    ):
        load_pretrained(create_model("resnet18", num_classes=2), config)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (model_config("resnet50_a"), "resnet50 with stem imagenet, branch_stride first"),
        (ResNetConfig(depth=18, stem="small_s1"), "resnet18 with stem small_s1"),
        (model_config("resnet18_c"), "resnet18 with stem deep"),
        (TimmConfig(name="resnet50.nope"), r"timm's resnet50\.nope"),
        (
            TimmConfig(name="resnet18", anti_alias=Blur(), activation=Silu()),
            r"timm's resnet18 with activation silu",
        ),
        (model_config("bl_resnet50"), r"Big-Little ResNet-50"),
    ],
)
def test_networks_without_published_weights(config, says):
    network = create_model("resnet18", num_classes=2)
    with pytest.raises(
        UserError, match=rf"no pretrained weights of {says}.*resnet50_d.*--init FILE"
    ):
        load_pretrained(network, config)


def test_a_hub_out_of_reach_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    network = create_model("resnet18", num_classes=2)
    with pytest.raises(
        UserError, match=r"timm's resnet18 could not be fetched \(.+\).*--init FILE"
    ) as info:
        load_pretrained(network, network.config)
    assert "\n" not in str(info.value)


SCRIPT = """
import dataclasses, sys
from safetensors.torch import save_file
from trickbag.models.config import model_config
from trickbag.models.pretrained import load_pretrained
from trickbag.models.zoo import build_network

config = dataclasses.replace(model_config("resnet18_d"), num_classes=7, in_channels=1)
network = build_network(config, seed=0)
print(*[note.text for note in load_pretrained(network, config)], sep="\\n")
save_file(network.state_dict(), sys.argv[1])
"""


@pytest.mark.slow
def test_cached_weights_need_no_network(tmp_path):
    published = fill(timm.create_model("resnet18d"))
    repository = tmp_path / "hub" / "models--timm--resnet18d.ra2_in1k"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    save_file(published.state_dict(), snapshot / "model.safetensors")
    environment = os.environ | {
        "HF_HOME": str(tmp_path),
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "w.safetensors")]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "weights of timm's resnet18d",
        "the first convolution was adapted to 1 channels",
        "the classifier starts anew: timm's resnet18d has 1000 classes, this network 7",
    ]
    got, given = load_file(tmp_path / "w.safetensors"), published.state_dict()
    assert torch.equal(got["layer4.1.bn2.running_var"], given["layer4.1.bn2.running_var"])
    # timm adds up the colours for a grey image.
    torch.testing.assert_close(got["conv1.0.weight"], given["conv1.0.weight"].sum(1, keepdim=True))
    assert torch.equal(got["fc.weight"], torch.zeros(7, 512))
