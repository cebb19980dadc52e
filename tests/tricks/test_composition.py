"""Every pair of tricks that change targets or loss, against a computation by hand in float64.

By hand: a mixed image is a weighted sum of the images read, so its loss is the same weighted sum of
the losses of its logits with the targets of each of these images. An image that could not be read
has no loss.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trickbag.data.config import MEAN, STD, DataConfig
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.models.config import ResNetConfig
from trickbag.optim.config import TrainConfig
from trickbag.optim.losses import (
    cross_entropy,
)
from trickbag.optim.schedule import Schedule
from trickbag.tasks.classification import ClassificationTask
from trickbag.train.build import build_loss
from trickbag.train.pipeline import Pipeline, weigh_classes
from trickbag.train.plan.plan import Plan
from trickbag.tricks.aug_mix import AugMix, jensen_shannon
from trickbag.tricks.bce import BCE
from trickbag.tricks.class_weights import ClassWeights
from trickbag.tricks.cutmix import CutMix
from trickbag.tricks.cutout import Cutout
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.mixup_cutmix import MixupCutMix
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.trick import Batch, NoEffect, Trick

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
    (first, second)
    for first, second in itertools.permutations(PARTS, 2)
    if first.name != second.name and (not first.slot or first.slot != second.slot)
]


def plan_of(*tricks: Trick, multi_label: bool = False) -> Plan:
    weights = (1.0,) * K
    for trick in tricks:
        weights = trick.class_weights(weights, (3, 3, 3, 3))
    return Plan(
        seed=0,
        data=DataConfig(
            multi_label=multi_label,
            image_size=S,
            workers=0,
            mean=MEAN,
            std=STD,
            interpolation="bilinear",
            resize="crop",
        ),
        model=ResNetConfig(num_classes=K),
        training=TrainConfig(
            device="cpu",
            layout="contiguous",
            small_maps="convolutions",
            compile="off",
            threads=1,
            batch_size=N,
        ),
        schedule=Schedule(),
        steps_per_epoch=3,
        repeats=math.prod(trick.repeats for trick in tricks),
        processes=1,
        class_weights=None if set(weights) == {1.0} else weights,
    )


def labels_of(n: int, multi_label: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
        mixed = n // trick.repeats
        weights = np.zeros((mixed, n))
        for i in range(mixed):
            lam = float(drawn[0][i])
            if trick.pairing == "mirror":
                first, second = i, n - 1 - i
            elif trick.pairing == "double":
                first, second = i, mixed + i
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
    targets, teacher, valid = labels_of(weights.shape[1], multi_label)
    labels = targets.argmax(axis=1)
    smoothing = named.get("label_smoothing")
    classes = np.array(WEIGHTS) if "class_weights" in named else np.ones(K)
    binary: Any = named.get("bce") or (BCE() if multi_label else None)
    total = 0.0
    for z, row in zip(logits, weights, strict=True):
        soft, soft_half = (np.exp(x) / np.exp(x).sum() for x in (z, z / 2))
        p, p_half = (1 / (1 + np.exp(-x)) for x in (z, z / 2))
        for weight, q, t, v, label in zip(row, targets, teacher, valid, labels, strict=True):
            # With one label an image has the weight of its class; with several labels each label
            # has the weight of its class, and an absent class has 1.
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
                loss = -(counts * (q * np.log(p) + (1 - q) * np.log(1 - p))).sum() * v
                loss /= K if binary.reduction == "mean" else 1
            if "distillation" in named:
                if multi_label:
                    distilled = -(t * np.log(p_half) + (1 - t) * np.log(1 - p_half)).sum() * v
                else:
                    distilled = -counts * (t * np.log(soft_half)).sum()
                loss = 0.75 * loss + 0.25 * 2**2 * distilled
            total += weight * loss
    return total / len(logits)


def by_the_code(
    tricks: tuple[Trick, ...], logits: Tensor, multi_label: bool
) -> tuple[float, dict[str, list[np.ndarray]]]:
    """The loss of a batch, its hooks applied in float64 in the pipeline's order."""
    plan = plan_of(*tricks, multi_label=multi_label)
    n = N * plan.repeats
    pipeline = Pipeline(
        task=ClassificationTask(num_classes=K, multi_label=multi_label),
        preprocessing=Preprocessing.of(plan.data, S),
        flip_prob=0.0,
        tricks=tricks,
    )
    draws = pipeline.draw(n, 7, plan.timestamp(0), torch.device("cpu"))[1:]
    targets, teacher, valid = (torch.from_numpy(item) for item in labels_of(n, multi_label))
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
    if not multi_label:  # as `Distillation.teach` does
        batch = batch._replace(extras={"teacher": teacher * batch.targets.sum(1, keepdim=True)})
    for trick, draw in zip(pipeline.stages, draws, strict=True):
        batch = trick.batch(batch, *(d.double() if d.is_floating_point() else d for d in draw))
    loss = build_loss(plan, tricks)
    names = [trick.name for trick in pipeline.stages]
    return float(loss(logits, batch)), {
        name: [d.numpy() for d in draw] for name, draw in zip(names, draws, strict=True)
    }


@pytest.mark.parametrize("multi_label", [False, True], ids=["one_label", "several_labels"])
def test_every_pair_equals_the_computation_by_hand(multi_label: bool) -> None:
    logits = torch.randn(N, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3
    tried = 0
    singles: list[tuple[Trick, ...]] = [(part,) for part in PARTS]
    for tricks in [
        (),
        *singles,
        *PAIRS,
        *itertools.permutations((PARTS[1], PARTS[4], PARTS[10], PARTS[11], PARTS[13])),
    ]:
        computed, draws = by_the_code(tuple(tricks), logits, multi_label)
        mixer = next((trick for trick in tricks if trick.slot == "mix"), None)
        weights = mixing_by_hand(mixer, draws, N * math.prod(trick.repeats for trick in tricks))
        expected = loss_by_hand(tuple(tricks), weights, logits.numpy(), multi_label)
        # The share of a box is float32, with a relative error of 2**-24.
        assert computed == pytest.approx(expected, rel=2e-7), tricks
        tried += 1
    assert tried > 200


def test_distillation_weighs_the_loss_of_the_labels_in_any_order() -> None:
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
    distillation = Distillation(form="code", weight=0.25, temperature=1.0)
    aug_mix = AugMix(weight=3.0)
    labels = cross_entropy(logits, batch.targets).mean()
    soft = cross_entropy(logits, batch.extras["teacher"]).mean()
    views = jensen_shannon(torch.cat([logits[:, None], view_logits], 1)).mean()
    for tricks in itertools.permutations((distillation, aug_mix)):
        computed = build_loss(plan_of(*tricks), tricks)(logits, batch)
        torch.testing.assert_close(
            computed, 0.75 * labels + 0.25 * soft + 3 * views, rtol=1e-12, atol=0
        )


def test_bce_has_no_effect_on_multi_label_data() -> None:
    multi_label = DataConfig(multi_label=True)
    with pytest.raises(NoEffect, match="images with several labels are trained so without it"):
        BCE().data(multi_label)
    assert BCE(reduction="mean").data(multi_label) == multi_label
    assert BCE(target_threshold=0.2).data(multi_label) == multi_label
    assert BCE().data(DataConfig()) == DataConfig()
