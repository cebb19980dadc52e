from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trickbag.assignment import assign
from trickbag.data.config import DataConfig
from trickbag.errors import UserError
from trickbag.models.config import ResNetConfig
from trickbag.models.parts import Blur, LeakyRelu
from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import SGD, AdamW, RMSProp, TimmOptimizer
from trickbag.optim.schedule import Constant, Cosine, Exponential, Schedule, Stepwise
from trickbag.parsing import parse, parse_fields
from trickbag.ranges import Between
from trickbag.settings import plain, read

VALUES = [
    TrainConfig(epochs=3, optimizer=AdamW(beta1=0.8), clip_norm=1.0),
    TrainConfig(optimizer=RMSProp(), precision="bf16", threads=2),
    TrainConfig(optimizer=TimmOptimizer(name="lamb", settings=(("betas", (0.9, 0.95)),))),
    Schedule(decay=Exponential(factor=0.97, every_epochs=2.4), warmup_epochs=2.5, warmup="epoch"),
    Schedule(decay=Stepwise(at=(0.1, 0.2))),
    Schedule(decay=Constant()),
    DataConfig(source="photos", image_size=96, mean=(0.0, 1.0, 2.0)),
    DataConfig(source="a.csv", image_root=("a", "b"), label_column=("cat", "dog")),
    ResNetConfig(depth=18, stem="deep_s1"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_data_and_back(value: Any) -> None:
    data = plain(value)
    assert read(type(value), data) == value
    assert {type(leaf) for leaf in _leaves(data)} <= {int, float, str, bool, type(None)}


def _leaves(data: object) -> list[object]:
    if isinstance(data, dict):
        return [leaf for item in data.values() for leaf in _leaves(item)]
    if isinstance(data, list):
        return [leaf for item in data for leaf in _leaves(item)]
    return [data]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(label_column=()), "an empty list names nothing"),
        (lambda: TrainConfig(epochs=0), "epochs = 0: must be a whole number at least 1"),
        (lambda: TrainConfig(epochs=True), "epochs = True"),
        (lambda: TrainConfig(epochs=1.5), "epochs = 1.5"),  # type: ignore[arg-type]
        (lambda: TrainConfig(lr="fast"), "lr = 'fast': must be a number"),  # type: ignore[arg-type]
        (lambda: TrainConfig(lr=math.nan), "lr = nan"),
        (lambda: TrainConfig(lr=0), "above 0"),
        (
            lambda: TrainConfig(precision="int8"),  # type: ignore[arg-type]
            "one of float32, auto, auto_on_gpu, bf16, fp16",
        ),
        (lambda: TrainConfig(clip_norm=-1.0), "clip_norm = -1.0"),
        (lambda: TrainConfig(optimizer=Cosine()), "optimizer"),  # type: ignore[arg-type]
        (lambda: DataConfig(image_size=7), "image_size = 7: must be a whole number at least 8"),
        (lambda: DataConfig(image_size=(7, 64)), "image_size = (7, 64): must be a whole number"),
        (
            lambda: read(DataConfig, {"image_size": [8, 16, 24]}),
            "must be a whole number at least 8, at most 16,384 or 2 of them, such as 128x128",
        ),
        (lambda: DataConfig(crop_area=(0.5,)), "2 values"),  # type: ignore[arg-type]
        (lambda: DataConfig(crop_area=(0.9, 0.1)), "the first value must not be above the second"),
        (lambda: DataConfig(std=(1.0, 0.0, 1.0)), "std = 0.0"),
        (
            lambda: read(TrainConfig, {"epoch": 3}),
            "no setting 'epoch'; it has: accumulate, batch_norm, batch_size",
        ),
        (
            lambda: read(TrainConfig, {"optimizer": {"kind": "adam"}}),
            "must be one of adamw, rmsprop, sgd, timm",
        ),
        (lambda: read(TrainConfig, [1]), "must be a mapping"),
        (
            lambda: assign(TrainConfig(), "epochs", "ten", "training"),
            "epochs = 'ten': must be a whole number",
        ),
        (lambda: assign(TrainConfig(), "lr.x", "1", "training"), "has no settings of its own"),
        (
            lambda: assign(TrainConfig(), "optimizer", "sgd:momentum=2", "training"),
            "momentum = 2.0",
        ),
        (lambda: parse_fields(SGD, "momentum", "sgd"), "not of the form key=value"),
        (lambda: TrainConfig(init="a.safetensors", pretrained=True), "exclude each other"),
    ],
)
def test_wrong_settings_name_value_and_way_out(make: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        make()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_text_is_read_by_type() -> None:
    assert assign(DataConfig(), "crop_area", "0.3, 1", "data").crop_area == (0.3, 1.0)
    assert assign(DataConfig(), "image_size", "none", "data").image_size is None
    assert assign(DataConfig(), "workers", "0", "data").workers == 0
    assert assign(TrainConfig(), "pretrained", "true", "training").pretrained is True
    assert assign(TrainConfig(), "optimizer.nesterov", "false", "training").optimizer == SGD(
        nesterov=False
    )
    assert assign(Schedule(), "decay", "step:factor=0.2,at=0.5,0.9", "schedule").decay == Stepwise(
        factor=0.2, at=(0.5, 0.9)
    )
    # A text may hold commas: a list of texts stands in brackets.
    for text, roots in (
        ("a,b", "a,b"),
        ("[a, b]", ("a", "b")),
        ('["a,b", "c"]', ("a,b", "c")),
        ("[a]", "a"),
        ("none", None),
    ):
        assert assign(DataConfig(), "image_root", text, "data").image_root == roots
    assert parse(float, "1e-3", "x") == 0.001
    for text in ("128x512", "128X512", " 128 x 512", "128,512", "[128, 512]"):
        assert assign(DataConfig(), "image_size", text, "data").image_size == (128, 512)
    for text in ("128", "128x128"):
        assert assign(DataConfig(), "image_size", text, "data").image_size == 128
    assert parse_fields(DataConfig, "crop_area=0.1,1,flip_prob=0", "data") == {
        "crop_area": (0.1, 1.0),
        "flip_prob": 0.0,
    }


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("channels", "0,1,4", (0, 1, 4)),
        ("channels", "2", (2,)),
        ("channels", "all", "all"),
        ("channels", "none", None),
        ("pixel_range", "0,4095", (0.0, 4095.0)),
        ("pixel_range", "-1.5,2e3", (-1.5, 2000.0)),
    ],
)
def test_channels_and_ranges_from_text(field: str, text: str, value: object) -> None:
    assert getattr(assign(DataConfig(), field, text, "data"), field) == value


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1),
    st.floats(1, 2),
    st.booleans(),
    st.booleans(),
)
def test_ranges_hold_what_they_say(
    x: float, low: float, high: float, open_low: bool, open_high: bool
) -> None:
    inside = (x > low if open_low else x >= low) and (x < high if open_high else x <= high)
    assert (x in Between(low, high, open_low, open_high)) == inside


def test_settings_are_values() -> None:
    assert TrainConfig() == TrainConfig()
    assert hash(Schedule()) == hash(Schedule())
    with pytest.raises(AttributeError):
        TrainConfig().epochs = 3  # type: ignore[misc]


def test_a_slot_is_filled_and_emptied_by_text() -> None:
    filled = assign(ResNetConfig(), "anti_alias", "blur:size=5,places=branch,stem", "model")
    assert filled.anti_alias == Blur(size=5, places=("branch", "stem"))
    assert assign(filled, "anti_alias", "none", "model") == ResNetConfig()
    assert assign(filled, "activation", "leaky_relu:slope=0.2", "model").activation == LeakyRelu(
        slope=0.2
    )
    with pytest.raises(
        UserError, match=r"anti_alias = 'max': must be one of average_pool, blur, .* or none"
    ):
        assign(filled, "anti_alias", "max", "model")
    with pytest.raises(UserError, match=r"attention = 3: must be one of squeeze_excite, none"):
        ResNetConfig(attention=3)  # type: ignore[arg-type]
