"""Value hooks against the papers: learning rates, precision, the variants of a ResNet."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trickbag.errors import DoesNotApply, UserError
from trickbag.models.config import ResNetConfig, TimmConfig, model_config
from trickbag.optim import schedule as schedules
from trickbag.optim.config import TrainConfig
from trickbag.optim.schedule import Schedule
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.exponential_decay import ExponentialDecay
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.layer_decay import LayerDecay, layer_scales
from trickbag.tricks.linear_scaling import LinearScaling, scale_lr
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.pca_noise import PCANoise
from trickbag.tricks.poly_decay import PolyDecay
from trickbag.tricks.resnet_tweaks import ResNetB, ResNetC, ResNetD
from trickbag.tricks.step_decay import StepDecay
from trickbag.tricks.trick import NoEffect, Trick
from trickbag.tricks.warmup import Warmup, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable

TIMM = TimmConfig(name="convnext_tiny")


def test_linear_scaling_of_the_paper() -> None:
    scaled = LinearScaling().training(TrainConfig(batch_size=1024, lr=0.1))
    assert scaled == TrainConfig(batch_size=1024, lr=0.4)
    assert scale_lr(0.1, 64) == 0.025
    assert LinearScaling(reference_batch=32).training(TrainConfig(batch_size=64, lr=0.1)).lr == 0.2


def test_linear_scaling_at_the_reference_batch_has_no_effect() -> None:
    with pytest.raises(NoEffect, match="256"):
        LinearScaling().training(TrainConfig(batch_size=256))


def test_warmup_by_step() -> None:
    schedule = Warmup(epochs=5).schedule(Schedule(decay=schedules.Constant()))
    # 5 epochs of 7 steps: the i-th of 35 steps has i / 35.
    factors = [schedule.factor(step, 7, 20) for step in range(40)]
    assert factors[:35] == pytest.approx([i / 35 for i in range(1, 36)], abs=1e-15)
    assert factors[35:] == [1.0] * 5


def test_warmup_by_epoch() -> None:
    schedule = Warmup(epochs=5, by="epoch").schedule(Schedule(decay=schedules.Constant()))
    factors = [schedule.factor(step, 3, 20) for step in range(18)]
    assert factors == pytest.approx(
        [*(i / 5 for i in (1, 2, 3, 4, 5) for _ in range(3)), 1, 1, 1], abs=1e-15
    )


def test_cosine_after_warmup() -> None:
    schedule = CosineDecay().schedule(warm_up(Schedule(), epochs=2))
    factors = [schedule.factor(step, 10, 12) for step in range(120)]
    by_hand = [0.5 * (1 + math.cos(math.pi * t / 100)) for t in range(100)]
    assert factors[20:] == pytest.approx(by_hand, abs=1e-15)
    assert factors[70] == pytest.approx(0.5, abs=1e-15)
    assert factors[20] == 1.0


def test_step_decay_of_the_paper() -> None:
    schedule = StepDecay().schedule(Schedule(decay=schedules.Constant()))
    per_epoch = [schedule.factor(epoch, 1, 120) for epoch in range(120)]
    assert per_epoch == pytest.approx(
        [1.0] * 30 + [0.1] * 30 + [0.01] * 30 + [0.001] * 30, rel=1e-12
    )


def test_exponential_decay_of_inception() -> None:
    schedule = ExponentialDecay().schedule(Schedule())
    per_epoch = [schedule.factor(epoch, 1, 10) for epoch in range(10)]
    by_hand = [1, 1, 0.94, 0.94, 0.8836, 0.8836, 0.830584, 0.830584, 0.78074896, 0.78074896]
    assert per_epoch == pytest.approx(by_hand, rel=1e-12)


def test_smooth_exponential_decay() -> None:
    schedule = ExponentialDecay(factor=0.97, every_epochs=2.4, staircase=False).schedule(Schedule())
    assert schedule.factor(6, 1, 10) == pytest.approx(0.97**2.5, rel=1e-12)


def test_poly_decay_of_segmentation() -> None:
    schedule = PolyDecay().schedule(Schedule(warmup_epochs=1))
    factors = [schedule.factor(step, 10, 11) for step in range(110)]
    by_hand = [(1 - t / 100) ** 0.9 for t in range(100)]
    assert factors[10:] == pytest.approx(by_hand, abs=1e-15)
    line = PolyDecay(power=1.0).schedule(Schedule())
    assert line.factor(25, 10, 10) == 0.75
    assert schedules.Polynomial()(1.0) == 0.0


@pytest.mark.parametrize(
    "trick",
    [CosineDecay(), StepDecay(), ExponentialDecay(), PolyDecay(), Warmup(epochs=3, by="epoch")],
)
def test_schedule_trick_changes_its_part_alone_and_once(trick: Trick) -> None:
    start = Schedule(decay=schedules.Constant(), warmup_epochs=1)
    changed = trick.schedule(start)
    if isinstance(trick, Warmup):
        assert changed == replace(start, warmup_epochs=3, warmup="epoch")
    else:
        assert changed == replace(start, decay=changed.decay)
        assert changed.decay != start.decay
    with pytest.raises(NoEffect):
        trick.schedule(changed)


def test_step_decay_without_steps_is_refused() -> None:
    with pytest.raises(UserError, match=r"step_decay.at is empty"):
        StepDecay(at=())


def test_mixed_precision() -> None:
    assert MixedPrecision().training(TrainConfig()) == TrainConfig(precision="auto")
    assert MixedPrecision(dtype="fp16").training(TrainConfig()) == TrainConfig(precision="fp16")
    with pytest.raises(NoEffect, match="already bf16"):
        MixedPrecision(dtype="bf16").training(TrainConfig(precision="bf16"))


def test_layer_decay() -> None:
    assert LayerDecay().training(TrainConfig()) == TrainConfig(layer_decay=0.75)
    assert layer_scales(4, 0.5) == [0.125, 0.25, 0.5, 1.0]
    with pytest.raises(NoEffect):
        LayerDecay(decay=0.5).training(TrainConfig(layer_decay=0.5))


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_layer_scales_grow_by_one_factor_to_the_head(layers: int, decay: float) -> None:
    scales = layer_scales(layers, decay)
    assert len(scales) == layers
    assert scales[-1] == 1.0
    assert all(
        low == pytest.approx(high * decay, rel=1e-12) for low, high in itertools.pairwise(scales)
    )


@pytest.mark.parametrize(
    ("trick", "start", "end"),
    [
        (ResNetB(), "resnet50_a", "resnet50_b"),
        (ResNetC(), "resnet50_a", "resnet50_c"),
        (ResNetC(), "resnet50", "resnet50_c"),
        (ResNetD(), "resnet50_a", "resnet50_d"),
        (ResNetD(), "resnet101_c", "resnet101_d"),
        (ResNetC(), "resnet18", "resnet18_c"),
        (ResNetD(), "resnet34", "resnet34_d"),
    ],
)
def test_resnet_tweak_gives_the_variant_of_its_letter(trick: Trick, start: str, end: str) -> None:
    kept: dict[str, Any] = {"num_classes": 7, "init": "msra"}
    before, after = (replace(model_config(name), **kept) for name in (start, end))
    assert trick.model(before) == after


@pytest.mark.parametrize(
    ("stem", "deep"), [("small_s1", "deep_s1"), ("small_s2", "deep_s2"), ("deep_s1", "deep_s1")]
)
def test_resnet_d_keeps_the_stride_of_a_small_stem(stem: Any, deep: Any) -> None:
    changed = ResNetD().model(ResNetConfig(depth=18, stem=stem))
    assert changed == ResNetConfig(depth=18, stem=deep, shortcut="avg_pool")


def test_resnet_b_does_not_apply_to_basic_blocks() -> None:
    with pytest.raises(
        DoesNotApply, match=r"resnet_b moves the stride of a bottleneck; .*depth 34.*Use resnet_c"
    ):
        ResNetB().model(model_config("resnet34"))


@pytest.mark.parametrize("trick", [ResNetB(), ResNetC(), ResNetD()])
def test_resnet_tweaks_do_not_apply_to_timm(trick: Trick) -> None:
    with pytest.raises(
        DoesNotApply, match=rf"{trick.name} changes .*timm:convnext_tiny has none. Use a resnetN"
    ):
        trick.model(TIMM)


@pytest.mark.parametrize(
    ("trick", "model"),
    [(ResNetB(), "resnet50"), (ResNetC(), "resnet50_c"), (ResNetD(), "resnet18_d")],
)
def test_a_resnet_tweak_that_the_network_has_has_no_effect(trick: Trick, model: str) -> None:
    with pytest.raises(NoEffect, match=trick.name):
        trick.model(model_config(model))


@pytest.mark.parametrize(
    "make",
    [
        lambda: LabelSmoothing(smoothing=0.0),
        lambda: LabelSmoothing(smoothing=1.0),
        lambda: LabelSmoothing(definition="paper"),  # type: ignore[arg-type]
        lambda: Mixup(alpha=0.0),
        lambda: Mixup(lam="image"),  # type: ignore[arg-type]
        lambda: PCANoise(std=0.0),
        lambda: ColorJitter(strength=0.0),
        lambda: ColorJitter(strength=1.1),
        lambda: ColorJitter(form="hsv"),  # type: ignore[arg-type]
        lambda: LayerDecay(decay=1.0),
        lambda: Warmup(epochs=0),
        lambda: Warmup(by="day"),  # type: ignore[arg-type]
        lambda: LinearScaling(reference_batch=0),
        lambda: StepDecay(factor=1.0),
        lambda: StepDecay(at=(0.5, 1.0)),
        lambda: ExponentialDecay(factor=1.0),
        lambda: MixedPrecision(dtype="float32"),  # type: ignore[arg-type]
    ],
)
def test_value_without_effect_or_sense_is_refused(make: Callable[[], Trick]) -> None:
    with pytest.raises(UserError, match=r"^\w+\.\w+ = .*must be"):
        make()
