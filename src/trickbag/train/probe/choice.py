"""The choice of a probe's settings: the weight of the penalty, and the number of neighbours.

A choice is made on the validation part of data that have a test part, which then tells how good it
is. Without one it is made within the training part, and the validation part tells.

Shapes: N training images, V validation images, D features, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from trickbag.data.groups import group_numbers
from trickbag.errors import UserError
from trickbag.metrics.multi_label import MultiLabel
from trickbag.optim.probe import GRID
from trickbag.streams import stream
from trickbag.train.probe.candidates import Candidate
from trickbag.train.probe.logistic import fit_path, log_losses
from trickbag.train.probe.neighbours import NEIGHBOURS, nearest, votes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Labelled", "choose_l2", "choose_neighbours", "folds_of"]

_MANY = 20_000
"""Training images from which on a single fold is held out, in place of each in turn."""

_MOST_QUERIES = 10_000
"""Training images that look for their neighbours to choose the number of these."""

_TOLERANCE = 1e-4
"""How far a fit goes whose loss on other images is compared."""

_WORSE = 2
"""Penalties in a row with a higher loss than the best, after which weaker ones are not tried."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """Features (N, D) of images that could be read, on a device, and their labels.

    `targets` (N, K) are 0 and 1. `groups` (N,) are the numbers of what belongs together.
    """

    features: Tensor
    targets: Tensor
    groups: NDArray[np.int64]
    multi_label: bool

    @classmethod
    def of(
        cls,
        features: NDArray[np.float32],
        labels: NDArray[np.int64],
        groups: Sequence[str],
        num_classes: int,
        device: torch.device,
    ) -> Labelled:
        """Join features and labels; images with the same features belong together, as copies do."""
        multi_label = labels.ndim == 2
        targets = torch.as_tensor(labels)
        if not multi_label:
            targets = torch.nn.functional.one_hot(targets, num_classes)
        copies = [hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in features]
        numbers = group_numbers(groups, copies)
        return cls(
            features=torch.as_tensor(features).to(device),
            targets=targets.to(device, torch.float32),
            groups=np.arange(len(features)) if numbers is None else numbers,
            multi_label=multi_label,
        )

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, rows: NDArray[np.int64]) -> Labelled:
        """Return some of the images."""
        index = torch.as_tensor(rows).to(self.features.device)
        return Labelled(
            features=self.features[index],
            targets=self.targets[index],
            groups=self.groups[rows],
            multi_label=self.multi_label,
        )


def folds_of(images: Labelled, folds: int, seed: int) -> NDArray[np.int64]:
    """Deal images out to folds (N,), from 0, groups as a whole and each class evenly.

    An image that is the only one of its class, or whose group is, is in no fold: -1. With several
    labels an image the classes do not count.
    """
    _, firsts, group_N = np.unique(images.groups, return_index=True, return_inverse=True)
    targets = images.targets.cpu().numpy()
    label_G = np.zeros(len(firsts), np.int64) if images.multi_label else targets[firsts].argmax(1)
    order = stream(seed, "folds of a probe").permutation(len(firsts))
    # Sorted by class, within a class at random: neighbours go to different folds.
    order = order[np.argsort(label_G[order], kind="stable")]
    fold_G = np.empty(len(firsts), np.int64)
    fold_G[order] = np.arange(len(firsts)) % folds
    counts = np.bincount(label_G)
    fold_G[counts[label_G] < 2] = -1
    return fold_G[group_N]


def choose_l2(
    train: Labelled,
    val: Labelled | None,
    *,
    folds: int,
    seed: int,
    on_step: Callable[[], None],
) -> tuple[float, tuple[Candidate, ...]]:
    """Choose the penalty with the smallest loss, on validation images or by cross-validation.

    With more than 20,000 training images one fold alone is held out. Returns the penalty, and the
    mean loss of an image of each that was tried. Raises UserError if there are too few images.
    """
    if val is not None:
        rounds: Iterable[tuple[Labelled, Labelled]] = [(train, val)]
    else:
        fold_N = folds_of(train, folds, seed)
        rounds = _rounds(train, fold_N, 1 if len(train) > _MANY else folds)
    total: dict[float, float] = {}
    images, tried = 0, set(GRID)
    for fitted, held in rounds:
        losses = _path_losses(fitted, held, on_step)
        tried &= losses.keys()
        images += len(held)
        for l2, loss in losses.items():
            total[l2] = total.get(l2, 0.0) + loss
    if not images:
        raise UserError(
            "there are too few training images to choose the probe's penalty by cross-validation: "
            "no class has two different ones",
            "add images, or give it: --set training.probe.l2=0.1",
        )
    candidates = tuple(Candidate(l2, total[l2] / images) for l2 in GRID if l2 in tried)
    # Of equal losses the strongest penalty.
    return min(candidates, key=lambda each: each.score).value, candidates


def _rounds(
    train: Labelled, fold_N: NDArray[np.int64], rounds: int
) -> Iterable[tuple[Labelled, Labelled]]:
    for fold in range(rounds):
        held = np.flatnonzero(fold_N == fold)
        if len(held) and len(held) < len(train):
            yield train.rows(np.flatnonzero(fold_N != fold)), train.rows(held)


def _path_losses(
    fitted: Labelled, held: Labelled, on_step: Callable[[], None]
) -> dict[float, float]:
    """Return the sum of the losses of the images held out by penalty, from the strongest on."""
    losses: dict[float, float] = {}
    path = fit_path(
        fitted.features,
        fitted.targets,
        GRID,
        multi_label=fitted.multi_label,
        tolerance=_TOLERANCE,
        on_step=on_step,
    )
    for l2, linear in zip(GRID, path, strict=True):
        logits = linear.logits(held.features)
        targets = held.targets.to(logits)
        loss = log_losses(logits, targets, multi_label=held.multi_label).sum()
        losses[l2] = float(loss)
        # The weaker the penalty, the longer a fit takes.
        best = min(losses, key=lambda each: losses[each])
        if GRID.index(l2) - GRID.index(best) >= _WORSE:
            break
    return losses


def choose_neighbours(
    train: Labelled, val: Labelled | None, *, seed: int, on_step: Callable[[], None]
) -> tuple[int, tuple[Candidate, ...]]:
    """Choose the number of neighbours with the best top-1, or mAP with several labels an image.

    It is chosen on validation images, or on training images without themselves and their groups; of
    these at most 10,000, drawn at random. Returns the number, and the score of each in percent.
    """
    groups = None
    queries = val
    if queries is None:
        order = stream(seed, "queries of a probe").permutation(len(train))
        rows = np.sort(order[:_MOST_QUERIES])
        queries = train.rows(rows)
        groups = queries.groups, train.groups
    most = min(max(NEIGHBOURS), len(train) - (val is None)) or 1
    ks = [k for k in NEIGHBOURS if k <= most]
    neighbours = nearest(queries.features, train.features, most, groups, on_step)
    labels = queries.targets.cpu().numpy().astype(np.int64)
    candidates = tuple(
        Candidate(k, _vote_score(shares, labels, multi_label=train.multi_label))
        for k, shares in zip(ks, votes(neighbours, train.targets, ks), strict=True)
    )
    # Of equal scores the most neighbours: the vote of many changes least with other images.
    return int(max(candidates, key=lambda each: (each.score, each.value)).value), candidates


def _vote_score(shares_VK: Tensor, labels_VK: NDArray[np.int64], *, multi_label: bool) -> float:
    """Return top-1, or the mean average precision, of votes in percent."""
    shares = shares_VK.numpy()
    if multi_label:
        return MultiLabel.of(shares, labels_VK, (0.5,) * shares.shape[1]).metrics()["map"] or 0.0
    return 100 * float((shares.argmax(axis=1) == labels_VK.argmax(axis=1)).mean())
