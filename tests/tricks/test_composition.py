"""Every pair of what changes targets and loss, against a computation by hand in float64.

By hand means: each mixed image is a weighted sum of the images read, so its loss is the same
weighted sum of the losses that its logits have with each one's own targets; an image that could not
be read has none.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.models.official.originals import tensor, vector
from trickbag.data.config import DataConfig
from trickbag.data.loading.loader import RawBatch
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import DoesNotApply, UserError
from trickbag.models.config import ResNetConfig
from trickbag.optim.config import TrainConfig
from trickbag.optim.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    binary_cross_entropy,
    cross_entropy,
)
from trickbag.optim.schedule import Schedule
from trickbag.train.build import build_loss
from trickbag.train.pipeline import Pipeline, weigh_classes
from trickbag.train.plan import Plan
from trickbag.tricks.aug_mix import AugMix, jensen_shannon
from trickbag.tricks.bce import BCE
from trickbag.tricks.class_weights import ClassWeights, effective_number, inverse_frequency
from trickbag.tricks.cutmix import CutMix
from trickbag.tricks.cutout import Cutout
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.mixup_cutmix import MixupCutMix
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.trick import Batch, NoEffect, Timestamp, Trick

N, K, S = 5, 4, 8
WEIGHTS = (0.5, 1.0, 2.0, 0.25)


PARTS: list[Trick] = [
    LabelSmoothing(smoothing=0.2),
    LabelSmoothing(smoothing=0.2, definition="others"),
    Mixup(alpha=1.0),
    Mixup(alpha=1.0, lam="pair"),
    Mixup(alpha=1.0, lam="pair", pairing="double"),
    Mixup(alpha=1.0, lam="pair", pairing="halves"),
    CutMix(lam="pair"),
    MixupCutMix(per="image"),
    Cutout(),
    RandomErasing(),
    ClassWeights(by="given", weights=WEIGHTS),
    BCE(),
    BCE(reduction="mean"),
    Distillation(teacher=("t",), form="code", temperature=2.0, weight=0.25),
]
PAIRS = [
    (one, other)
    for one, other in itertools.permutations(PARTS, 2)
    if one.name != other.name and (not one.slot or one.slot != other.slot)
]


def plan_of(*tricks: Trick, multi_label: bool = False) -> Plan:
    weights = (1.0,) * K
    for trick in tricks:
        weights = trick.class_weights(weights, (3, 3, 3, 3))
    return Plan(
        seed=0,
        data=DataConfig(multi_label=multi_label),
        model=ResNetConfig(num_classes=K),
        training=TrainConfig(),
        schedule=Schedule(),
        device="cpu",
        precision="float32",
        layout="contiguous",
        compile=False,
        threads=1,
        workers=0,
        image_size=S,
        mirror=False,
        batch_size=N,
        steps_per_epoch=3,
        repeats=math.prod(trick.repeats for trick in tricks),
        processes=1,
        class_weights=None if set(weights) == {1.0} else weights,
    )


def given(n: int, multi_label: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, teacher and readability of `n` images; the second could not be read."""
    rng = np.random.default_rng(3)
    targets = np.eye(K)[rng.integers(0, K, n)]
    if multi_label:
        targets = np.maximum(targets, rng.integers(0, 2, (n, K)))
    valid = np.arange(n) != 1
    teacher = (rng.random((n, K)) if multi_label else rng.dirichlet(np.ones(K), n)) * valid[:, None]
    return targets * valid[:, None], teacher, valid.astype(float)


def mixing_by_hand(trick: Trick | None, draws: dict[str, list[np.ndarray]], n: int) -> np.ndarray:
    """The weight that each image read (columns) has in each image of the batch (rows)."""
    if trick is None:
        return np.eye(n)
    drawn = draws[trick.name]
    if isinstance(trick, Mixup):
        made = n // trick.repeats
        weights = np.zeros((made, n))
        for i in range(made):
            lam = float(drawn[0][i])
            if trick.pairing == "mirror":
                first, second = i, n - 1 - i
            elif trick.pairing == "double":
                first, second = i, made + i
            else:
                half = n // 2
                first = i % half if i < 2 * half else i
                second = half + i if i < half else 3 * half - 1 - i if i < 2 * half else i
            weights[i, first] += lam
            weights[i, second] += 1 - lam
        return weights
    weights = np.zeros((n, n))
    for i in range(n):
        lam, side = (
            (1.0, math.sqrt(1 - float(drawn[0][i])))
            if isinstance(trick, CutMix)
            else (float(drawn[0][i]), float(drawn[1][i]))
        )
        y, x = (int(c * S) for c in drawn[-2][i])
        half = int(side * S / 2)
        height = min(y + half, S) - max(y - half, 0)
        width = min(x + half, S) - max(x - half, 0)
        lam *= 1 - height * width / S**2
        weights[i, i] += lam
        weights[i, n - 1 - i] += 1 - lam
    return weights


def loss_by_hand(
    tricks: tuple[Trick, ...], weights: np.ndarray, logits: np.ndarray, multi_label: bool
) -> float:
    named = {trick.name: trick for trick in tricks}
    targets, teacher, valid = given(weights.shape[1], multi_label)
    labels = targets.argmax(axis=1)
    smoothing = named.get("label_smoothing")
    classes = np.array(WEIGHTS) if "class_weights" in named else np.ones(K)
    binary: Any = named.get("bce") or (BCE() if multi_label else None)
    total = 0.0
    for z, row in zip(logits, weights, strict=True):
        soft, soft_half = (np.exp(x) / np.exp(x).sum() for x in (z, z / 2))
        p, p_half = (1 / (1 + np.exp(-x)) for x in (z, z / 2))
        for weight, q, t, v, label in zip(row, targets, teacher, valid, labels, strict=True):
            # Of one label the image weighs as its class, of several each question whose answer is
            # yes.
            counts = np.where(q > 0, classes, 1.0) if multi_label else classes[label]
            if isinstance(smoothing, LabelSmoothing):
                if multi_label:
                    other = 0.5 if smoothing.definition == "uniform" else 1 - q
                    q = (q * (1 - smoothing.smoothing) + smoothing.smoothing * other) * v
                elif smoothing.definition == "uniform":
                    q = q * (1 - smoothing.smoothing) + smoothing.smoothing * q.sum() / K
                else:
                    q = q * (1 - smoothing.smoothing) + smoothing.smoothing * (q.sum() - q) / (
                        K - 1
                    )
            if binary is None:
                loss = -(counts * q * np.log(soft)).sum()
            else:
                if multi_label:
                    loss = -(counts * (q * np.log(p) + (1 - q) * np.log(1 - p))).sum() * v
                else:
                    loss = -(counts * (q * np.log(p) + (1 - q) * np.log(1 - p))).sum() * v
                loss /= K if binary.reduction == "mean" else 1
            if "distillation" in named:
                if multi_label:
                    said = -(t * np.log(p_half) + (1 - t) * np.log(1 - p_half)).sum() * v
                else:
                    said = -counts * (t * np.log(soft_half)).sum()
                loss = 0.75 * loss + 0.25 * 2**2 * said
            total += weight * loss
    return total / len(logits)


def by_the_code(
    tricks: tuple[Trick, ...], logits: Tensor, multi_label: bool
) -> tuple[float, dict[str, list[np.ndarray]]]:
    """The loss of a batch, its hooks applied in float64 in the pipeline's order."""
    plan = plan_of(*tricks, multi_label=multi_label)
    n = N * plan.repeats
    pipeline = Pipeline(
        num_classes=K, preprocessing=Preprocessing.of(plan.data, S), flip_prob=0.0, tricks=tricks
    )
    draws = pipeline.draw(n, 7, plan.timestamp(0), torch.device("cpu"))[1:]
    targets, teacher, valid = (torch.from_numpy(item) for item in given(n, multi_label))
    batch = Batch(
        torch.rand(n, 3, S, S, dtype=torch.float64),
        targets,
        torch.arange(n),
        {"teacher": teacher},
        multi_label=multi_label,
        row_weights=valid if multi_label else None,
    )
    if plan.class_weights is not None:
        batch = weigh_classes(batch, torch.tensor(plan.class_weights, dtype=torch.float64))
    if not multi_label:  # as `Distillation.teach` has it
        batch = batch._replace(extras={"teacher": teacher * batch.targets.sum(1, keepdim=True)})
    for trick, draw in zip(pipeline.stages, draws, strict=True):
        batch = trick.batch(batch, *(d.double() if d.is_floating_point() else d for d in draw))
    found = build_loss(plan, tricks)
    names = [trick.name for trick in pipeline.stages]
    return float(found(logits, batch)), {
        name: [d.numpy() for d in draw] for name, draw in zip(names, draws, strict=True)
    }


@pytest.mark.parametrize("multi_label", [False, True], ids=["one_label", "several_labels"])
def test_every_pair_is_the_computation_by_hand(multi_label: bool) -> None:
    logits = torch.randn(N, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3
    tried = 0
    singles: list[tuple[Trick, ...]] = [(part,) for part in PARTS]
    for tricks in [
        (),
        *singles,
        *PAIRS,
        *itertools.permutations((PARTS[1], PARTS[4], PARTS[10], PARTS[11], PARTS[13])),
    ]:
        found, draws = by_the_code(tuple(tricks), logits, multi_label)
        mixer = next((trick for trick in tricks if trick.slot == "mix"), None)
        weights = mixing_by_hand(mixer, draws, N * math.prod(trick.repeats for trick in tricks))
        expected = loss_by_hand(tuple(tricks), weights, logits.numpy(), multi_label)
        assert found == pytest.approx(expected, rel=2e-7), (
            tricks
        )  # own_share is float32: 1 in 2**24
        tried += 1
    assert tried > 200


def test_a_teachers_share_is_of_the_loss_of_the_labels_wherever_it_stands() -> None:
    rng = torch.Generator().manual_seed(0)
    logits, teacher = (torch.randn(N, K, generator=rng, dtype=torch.float64) for _ in range(2))
    view_logits = torch.randn(N, 2, K, generator=rng, dtype=torch.float64)
    batch = Batch(
        torch.zeros(N, 3, 2, 2),
        torch.eye(K).double()[[0, 1, 2, 3, 0]],
        torch.arange(N),
        {"teacher": teacher.softmax(1)},
        view_logits=view_logits,
    )
    distillation, mixed = (
        Distillation(form="code", weight=0.25, temperature=1.0),
        AugMix(weight=3.0),
    )
    labels = cross_entropy(logits, batch.targets).mean()
    soft = cross_entropy(logits, batch.extras["teacher"]).mean()
    views = jensen_shannon(torch.cat([logits[:, None], view_logits], 1)).mean()
    for tricks in itertools.permutations((distillation, mixed)):
        found = build_loss(plan_of(*tricks), tricks)(logits, batch)
        torch.testing.assert_close(
            found, 0.75 * labels + 0.25 * soft + 3 * views, rtol=1e-12, atol=0
        )


def test_an_image_that_could_not_be_read_counts_nothing() -> None:
    logits = torch.randn(3, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    nothing = torch.zeros(3, K, dtype=torch.float64)
    assert not binary_cross_entropy(logits, nothing).any()
    assert not binary_cross_entropy(logits, nothing, torch.zeros(3)).any()
    assert binary_cross_entropy(logits, nothing, torch.ones(3)).all(), (
        "an image without a label is another thing"
    )


def test_losses_are_torchs() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(9, K, generator=rng, dtype=torch.float64) * 20
    targets, weights = (
        torch.rand(9, K, generator=rng, dtype=torch.float64),
        torch.tensor(WEIGHTS).double(),
    )
    ones, labels, none = (
        torch.ones(9, dtype=torch.float64),
        torch.arange(9) % K,
        torch.zeros(9, 3, 1, 1),
    )
    binary = functools.partial(functional.binary_cross_entropy_with_logits, reduction="none")
    torch.testing.assert_close(
        binary_cross_entropy(logits, targets, ones), binary(logits, targets).sum(1)
    )
    expected = binary(logits, targets, pos_weight=weights).sum(1).mean()
    batch = Batch(none, targets, labels, {}, multi_label=True, row_weights=ones)
    weighted = weigh_classes(batch, weights)
    torch.testing.assert_close(BinaryCrossEntropy()(logits, weighted), expected)
    onehot = functional.one_hot(labels, K).double()
    expected = (weights[labels] * binary(logits, onehot).sum(1)).mean()
    torch.testing.assert_close(
        BinaryCrossEntropy()(logits, weigh_classes(Batch(none, onehot, labels, {}), weights)),
        expected,
    )
    expected = functional.cross_entropy(logits, targets, weights, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, weights * targets), expected)


def test_the_sum_is_the_sigmoid_loss_of_the_original_code() -> None:
    known, arrays = vector("units")
    logits, targets = tensor(arrays["loss_logits"]).double(), tensor(arrays["loss_onehot"]).double()
    assert float(binary_cross_entropy(logits, targets).mean()) == pytest.approx(
        known["loss"]["sigmoid"], rel=1e-6
    )
    assert float(cross_entropy(logits, targets).mean()) == pytest.approx(
        known["loss"]["ce_ls0.0"], rel=1e-6
    )


def test_gradients_of_large_logits_are_finite() -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    binary_cross_entropy(logits, torch.tensor([[1.0, 0.0]])).sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0.0, 0.0]]


def test_binary_cross_entropy_of_several_labels_is_no_change() -> None:
    several = DataConfig(multi_label=True)
    with pytest.raises(NoEffect, match="images with several labels are trained so without it"):
        BCE().data(several)
    assert BCE(reduction="mean").data(several) == several
    assert BCE().data(DataConfig()) == DataConfig()


# Weights of classes.


def test_weights_by_frequency_and_by_effective_number() -> None:
    counts = (900, 90, 10)
    assert inverse_frequency(counts) == pytest.approx(
        [1000 / 3 / n for n in counts]
    )  # scikit-learn's "balanced"
    weights = effective_number(counts, 0.99)
    effective = [(1 - 0.99**n) / 0.01 for n in counts]
    assert [w / weights[0] for w in weights] == pytest.approx([effective[0] / e for e in effective])
    for found in (weights, inverse_frequency(counts)):
        assert sum(w * n for w, n in zip(found, counts, strict=True)) == pytest.approx(1000)
    assert effective_number(counts, 0.0) == pytest.approx([1.0, 1.0, 1.0])
    assert effective_number((5, 0, 1))[1] == effective_number((5, 0, 1))[2]


@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy])
def test_weights_by_frequency_make_classes_equally_likely(loss: Any) -> None:
    # Where nothing but the bias is learnt, the best answer is the share that each class has of the
    # weights.
    counts = (900, 90, 10)
    targets = functional.one_hot(
        torch.arange(3).repeat_interleave(torch.tensor(counts)), 3
    ).double()
    bias = torch.full(
        (3,), math.log(1 / 2), dtype=torch.float64, requires_grad=True
    )  # sigmoid and softmax of 1 / 3
    weights = torch.tensor(inverse_frequency(counts), dtype=torch.float64)
    loss(bias.expand(1000, 3), weights * targets).sum().backward()
    assert bias.grad is not None
    assert bias.grad.abs().max() < 1e-9


def test_equal_classes_have_no_weights_and_wrong_numbers_are_refused() -> None:
    with pytest.raises(NoEffect, match="all classes have as many images"):
        ClassWeights().class_weights((1.0,) * 3, (7, 7, 7))
    with pytest.raises(NoEffect, match="with beta = 0 all classes weigh the same"):
        ClassWeights(by="effective_number", beta=0.0).class_weights((1.0,) * 3, (7, 70, 700))
    with pytest.raises(
        DoesNotApply, match=r"weights has 4 values and the data have 3 classes\. Give one"
    ):
        ClassWeights(by="given", weights=WEIGHTS).class_weights((1.0,) * 3, (1, 2, 3))
    with pytest.raises(UserError, match="give one for each class"):
        ClassWeights(by="given")
    with pytest.raises(UserError, match="they need by=given"):
        ClassWeights(weights=(1.0, 2.0))
    with pytest.raises(UserError, match="at least one must be above 0"):
        ClassWeights(by="given", weights=(0.0, 0.0))


@pytest.mark.parametrize("definition", ["uniform", "others"])
@pytest.mark.parametrize("multi_label", [False, True], ids=["one_label", "several_labels"])
@pytest.mark.parametrize("binary", [False, True])
def test_smoothing_never_turns_the_answer(definition: Any, multi_label: bool, binary: bool) -> None:
    # Six hundred images of one class to one of another: the rare one's share of a smoothed target
    # would outweigh the target itself, were it weighted.
    weights, smoothing = (
        torch.tensor(inverse_frequency((600, 1))).double(),
        LabelSmoothing(definition=definition),
    )
    batch = Batch(
        torch.zeros(1, 3, 1, 1),
        torch.tensor([[1.0, 0.0]]).double(),
        torch.arange(1),
        {},
        multi_label=multi_label,
        row_weights=torch.ones(1, dtype=torch.float64) if multi_label else None,
    )
    batch = smoothing.batch(weigh_classes(batch, weights))
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    loss = BinaryCrossEntropy() if binary or multi_label else CrossEntropy()
    loss(logits, batch).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


def test_the_pipeline_weighs_images() -> None:
    data = DataConfig()
    pipeline = Pipeline(
        num_classes=2,
        preprocessing=Preprocessing.of(data, 8),
        flip_prob=0.0,
        tricks=(LabelSmoothing(),),
        class_weights=torch.tensor([0.5, 30.0]),
    )
    raw = RawBatch(
        torch.zeros(3, 3, 8, 8, dtype=torch.uint8),
        torch.tensor([0, 1, 1]),
        torch.arange(3),
        torch.tensor([True, True, False]),
    )
    batch = pipeline(raw, pipeline.draw(3, 0, Timestamp(), torch.device("cpu")))
    torch.testing.assert_close(
        batch.targets, torch.tensor([[0.475, 0.025], [1.5, 28.5], [0.0, 0.0]])
    )
