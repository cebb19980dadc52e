from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from trickbag.errors import UserError
from trickbag.optim.probe import GRID
from trickbag.train.probe.choice import Labelled, choose_l2, choose_neighbours, folds_of

CPU = torch.device("cpu")


def labelled(n: int = 60, classes: int = 3, seed: int = 0, noise: float = 1.5) -> Labelled:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = np.random.default_rng(99).normal(0, 1, (classes, 6))
    x = (centres[labels] + rng.normal(0, noise, (n, 6))).astype(np.float32)
    return Labelled.of(x, labels, [], classes, CPU)


def nothing() -> None:
    pass


def test_folds_hold_each_class_evenly_and_groups_as_a_whole() -> None:
    images = labelled(60)
    fold = folds_of(images, 5, seed=0)
    labels = images.targets.argmax(dim=1).numpy()
    for k in range(3):
        assert np.bincount(fold[labels == k], minlength=5).tolist() == [4] * 5
    assert not np.array_equal(fold, folds_of(images, 5, seed=1))
    assert np.array_equal(fold, folds_of(images, 5, seed=0))
    groups = [str(i // 4) for i in range(60)]
    grouped = Labelled.of(images.features.numpy(), labels, groups, 3, CPU)
    by_group = folds_of(grouped, 5, seed=0).reshape(15, 4)
    assert (by_group == by_group[:, :1]).all()


def test_copies_are_in_one_fold_and_a_lone_image_in_none() -> None:
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    x[5] = x[0]
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    fold = folds_of(Labelled.of(x, labels, [], 3, CPU), 2, seed=0)
    assert fold[5] == fold[0]
    assert fold[8] == -1


def test_the_penalty_has_the_least_loss_on_the_validation_images() -> None:
    train, val = labelled(60), labelled(90, seed=1)
    l2, candidates = choose_l2(train, val, folds=5, seed=0, on_step=nothing)
    scaler = StandardScaler().fit(train.features.double())
    labels = train.targets.argmax(dim=1)
    for candidate in candidates:
        solver = LogisticRegression(C=1 / (candidate.value * 60), tol=1e-9, max_iter=10_000)
        solver.fit(scaler.transform(train.features.double()), labels)
        probabilities = solver.predict_proba(scaler.transform(val.features.double()))
        expected = log_loss(val.targets.argmax(dim=1), probabilities)
        assert candidate.score == pytest.approx(expected, abs=2e-4)
    assert l2 == min(candidates, key=lambda each: each.score).value
    # Weaker penalties are not tried once two in a row were worse.
    assert GRID.index(l2) == len(candidates) - 3


def test_without_validation_images_the_penalty_is_cross_validated() -> None:
    train = labelled(60)
    l2, candidates = choose_l2(train, None, folds=4, seed=3, on_step=nothing)
    fold = folds_of(train, 4, seed=3)
    total = 0.0
    labels = train.targets.argmax(dim=1).numpy()
    for k in range(4):
        scaler = StandardScaler().fit(train.features[fold != k].double())
        x = scaler.transform(train.features.double())
        solver = LogisticRegression(C=1 / (l2 * (fold != k).sum()), tol=1e-9, max_iter=10_000)
        solver.fit(x[fold != k], labels[fold != k])
        total += log_loss(labels[fold == k], solver.predict_proba(x[fold == k]), normalize=False)
    chosen = next(each for each in candidates if each.value == l2)
    assert chosen.score == pytest.approx(total / 60, abs=2e-4)


def test_too_few_images_for_a_choice() -> None:
    train = labelled(3, classes=3)
    with pytest.raises(UserError, match=r"too few training images.*training.probe.l2"):
        choose_l2(train, None, folds=5, seed=0, on_step=nothing)
    assert choose_neighbours(train, None, seed=0, on_step=nothing)[0] in (1, 2)


def test_neighbours_are_chosen_without_the_image_itself() -> None:
    # Each image has a copy: with itself or its copy as a neighbour, one neighbour would be best.
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    x = (np.stack([labels, 1 - labels], axis=1) + rng.normal(0, 1, (80, 2))).astype(np.float32)
    twice = Labelled.of(np.concatenate([x, x]), np.concatenate([labels] * 2), [], 2, CPU)
    _, candidates = choose_neighbours(twice, None, seed=0, on_step=nothing)
    assert candidates[0].value == 1
    assert candidates[0].score < 80
    assert candidates[-1].score > candidates[0].score


def test_on_validation_images_the_best_number_of_neighbours_is_chosen() -> None:
    train, val = labelled(60), labelled(30, seed=1)
    k, candidates = choose_neighbours(train, val, seed=0, on_step=nothing)
    best = max(each.score for each in candidates)
    assert k == max(each.value for each in candidates if each.score == best)
    # No more neighbours than there are training images.
    assert [each.value for each in candidates] == [1, 2, 5, 10, 20, 50]
