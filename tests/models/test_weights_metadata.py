"""Metadata of weights files: what is written, what an earlier version wrote, what is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.models.metadata import PREPROCESSING, metadata_of
from trickbag.errors import UserError
from trickbag.models import load
from trickbag.models.config import BigLittleConfig, ModelConfig, ResNetConfig, TimmConfig
from trickbag.models.parts import SqueezeExcitePart
from trickbag.models.weights import preprocessing_of
from trickbag.models.weights_metadata import SCHEMA, WeightsMetadata, read_preprocessing
from trickbag.settings import plain

CONFIGS: list[ModelConfig] = [
    ResNetConfig(attention=SqueezeExcitePart(reduction=4), num_classes=2),
    BigLittleConfig(num_classes=2),
    TimmConfig(name="resnet18", num_classes=2),
]
DATA = metadata_of(CONFIGS[0], thresholds=(0.5, 0.25), columns=("id", "label")).to_dict()


def weights_file(folder: Path, data: object) -> Path:
    """Write a weights file of one tensor with some metadata; none where `data` is None."""
    text = data if isinstance(data, str) else json.dumps(data)
    header = None if data is None else {"trickbag": text}
    save_file({"a": torch.ones(1)}, folder / "w.safetensors", metadata=header)
    return folder / "w.safetensors"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"thresholds": (0.0, 1.0)},
        {"columns": ("image", "label")},
        {"label_separator": "|"},
        {"temperature": 0.25},
    ],
    ids=str,
)
def test_metadata_come_back(config: ModelConfig, fields: dict[str, Any]) -> None:
    metadata = metadata_of(config, **fields)
    assert metadata.multi_label == ("thresholds" in fields)
    assert WeightsMetadata.from_json(metadata.to_json(), "x") == metadata
    assert metadata.to_dict() == {
        "schema": SCHEMA,
        "model": plain(config),
        "classes": ["é0", "é1"],
        "preprocessing": plain(PREPROCESSING),
        "columns": None,
        "thresholds": None,
        "epoch": None,
        "epochs": None,
        "eval_precision": None,
    } | {name: plain(value) for name, value in fields.items()}


def test_metadata_of_before_there_were_thresholds_and_schemas(tmp_path: Path) -> None:
    data = metadata_of(CONFIGS[0]).to_dict()
    for field in ("schema", "thresholds", "columns"):
        del data[field]
        assert WeightsMetadata.read(weights_file(tmp_path, data)) == metadata_of(CONFIGS[0])


def test_names_of_classes_are_read_in_one_unicode_form(tmp_path: Path) -> None:
    number = CONFIGS[0].num_classes
    others = [f"class {i}" for i in range(number - 2)]
    for names, expected in (
        (("cafe\u0301", "tea"), ("caf\u00e9", "tea")),
        # Once these were two classes.
        (("cafe\u0301", "caf\u00e9"), ("cafe\u0301", "caf\u00e9")),
    ):
        data = metadata_of(CONFIGS[0]).to_dict() | {"classes": [*names, *others]}
        metadata = WeightsMetadata.read(weights_file(tmp_path, data))
        assert metadata.classes == (*expected, *others)


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, "1", None])
def test_another_schema_is_refused_in_one_line(tmp_path: Path, schema: object) -> None:
    path = weights_file(tmp_path, DATA | {"schema": schema, "model": {"kind": "new"}})
    with pytest.raises(UserError) as info:
        WeightsMetadata.read(path)
    assert str(info.value) == (
        f"{path}: its metadata has schema {schema!r}, and this trickbag reads {SCHEMA}; "
        "use the version of trickbag that wrote it"
    )


RESNET = {"kind": "resnet", "num_classes": 2}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "does not say which network"),
        ({}, "does not say which network"),
        ("{", "metadata is damaged"),
        ([1], "no mapping"),
        (DATA | {"model": "resnet51"}, "no model 'resnet51'"),
        (DATA | {"model": 3}, "model = 3"),
        (DATA | {"model": {"kind": "vgg"}}, "model.kind = 'vgg'"),
        (DATA | {"model": RESNET | {"depth": 19}}, "depth = 19"),
        (DATA | {"model": RESNET | {"wide": 1}}, "no setting 'wide'"),
        (
            DATA | {"model": {"kind": "resnet"}, "classes": [], "thresholds": None},
            "num_classes = 0",
        ),
        (DATA | {"model": "resnet18"}, "as many class names"),
        (
            DATA | {"model": {"kind": "timm", "name": "resnetty", "num_classes": 2}},
            "timm has no network",
        ),
        (DATA | {"classes": None}, "the names of the classes"),
        (DATA | {"classes": [1, 2]}, "the names of the classes"),
        (DATA | {"classes": ["a"]}, "as many class names"),
        (DATA | {"classes": ["a", "a"]}, "as many class names"),
        (DATA | {"preprocessing": None}, "how images are prepared"),
        (DATA | {"preprocessing": {"image_size": 16}}, "lacks the setting 'resize'"),
        (DATA | {"columns": ["id"]}, "the columns of its CSV"),
        (DATA | {"columns": "id"}, "the columns of its CSV"),
        (DATA | {"label_separator": ""}, "what divides several labels"),
        (DATA | {"label_separator": ["|"]}, "what divides several labels"),
        (DATA | {"thresholds": [0.5]}, "a threshold from 0 to 1"),
        (DATA | {"thresholds": [0.5, 1.5]}, "a threshold from 0 to 1"),
        (DATA | {"thresholds": 0.5}, "a threshold from 0 to 1"),
        *(
            (DATA | {"temperature": value}, "a temperature above 0")
            for value in (0, -1.0, True, "1", [1.0])
        ),
    ],
)
def test_a_damaged_or_missing_field_is_named(tmp_path: Path, data: object, says: str) -> None:
    path = weights_file(tmp_path, data)
    with pytest.raises(UserError, match=says) as info:
        load(path)
    assert str(path) in str(info.value)
    assert "\n" not in str(info.value)


def test_preprocessing_alone_can_be_read(tmp_path: Path) -> None:
    unknown_network = DATA | {"model": {"kind": "new"}}
    assert read_preprocessing(weights_file(tmp_path, unknown_network)) == PREPROCESSING
    assert preprocessing_of(weights_file(tmp_path, DATA), ResNetConfig()) == PREPROCESSING
    for other_origin in (None, {}):
        assert preprocessing_of(weights_file(tmp_path, other_origin), ResNetConfig()) is None
    path = weights_file(tmp_path, {"preprocessing": {"image_size": 16}})
    with pytest.raises(UserError, match=r"w\.safetensors: .* how images are prepared"):
        preprocessing_of(path, ResNetConfig())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"depth_factor": 1e6}, r"depth_factor = 1000000\.0: must be .* at most 16"),
        ({"width_factor": 1e300}, "width_factor = 1e.300: must be .* at most 16"),
        ({"num_classes": 10**12}, "num_classes = 10{12}: must be .* at most 1,000,000"),
        ({"depth_factor": 5.0}, r"does not fit its network, which has [\d,]+ parameters: it holds"),
    ],
)
def test_a_network_of_another_size_than_the_file_is_not_built(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    data = json.loads(json.dumps(DATA))
    data["model"] |= change
    with pytest.raises(UserError, match=says) as caught:
        load(weights_file(tmp_path, data))
    assert "w.safetensors" in str(caught.value)
