"""The validation part that is held back if a source has none."""

from __future__ import annotations

import hashlib
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["deal_folds", "deal_group_folds", "hold_back", "hold_back_groups", "hold_back_together"]

Split = tuple["NDArray[np.int64]", "NDArray[np.int64]"]
"""Ascending indices of the images for training and for validation."""

_MOST_FOLDS = 20
"""Folds of which some are held back, for a fraction that is not 1 / n."""

_MOST_TRIALS = 50_000
"""The most groups times folds for scikit-learn, which takes some 0.1 ms for each."""

_MOST_CELLS = 10**7
"""The most groups times classes for scikit-learn, which takes 8 bytes for each."""

_TOLERANCE = 0.02
"""By how much a choice of folds may be worse than the best one, so that the seed decides."""


def hold_back(names: Sequence[str], labels: NDArray[np.int64], fraction: float, seed: int) -> Split:
    """Split a listing, stratified by `labels`, into ascending training and validation indices.

    In each class `fraction` of the images is held back, rounded; at least one if the class has two,
    and never all. The images of a class are ranked by a hash of seed and name, so that an image
    added or removed moves at most one other image of its class.
    """
    held = np.zeros(len(names), bool)
    ranks = np.array([_rank(name, seed) for name in names], np.uint64)
    # The members of each class in order; one look at all labels a class would take very long.
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        # Half is rounded up; Python's `round` would round it to the even number.
        count = min(max(int(len(members) * fraction + 0.5), 1), len(members) - 1)
        held[members[np.argsort(ranks[members], kind="stable")[:count]]] = True
    return _split(held)


def hold_back_together(
    names: Sequence[str],
    labels: NDArray[np.int64],
    fraction: float,
    seed: int,
    groups: NDArray[np.int64],
) -> Split:
    """Split as `hold_back` splits the first image of each group; the others go where it goes.

    For many small groups, such as copies: the fraction is one of groups, not of images. `groups`
    are numbers (N,). Where each image is a group of its own, the split is that of `hold_back`.
    """
    _, firsts, of_image = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    firsts = firsts[order]
    _, held_firsts = hold_back([names[i] for i in firsts], labels[firsts], fraction, seed)
    held_groups = np.zeros(len(firsts), bool)
    held_groups[order[held_firsts]] = True
    return _split(held_groups[of_image])


def hold_back_groups(
    names: Sequence[str],
    labels: NDArray[np.int64],
    fraction: float,
    seed: int,
    groups: NDArray[np.int64],
) -> Split:
    """Split a listing so that each group is held back as a whole or not at all.

    `groups` are numbers (N,); of one group alone nothing is held back, else neither part is empty.
    The share of each class is as near to `fraction` as scikit-learn's StratifiedGroupKFold brings
    it: the groups are dealt out to folds, of which some are held back. Groups are ranked by a hash
    of the seed and the name of their first image. With more groups, or more classes, than
    that takes seconds for, the first image of each group decides, as in `hold_back_together`.
    """
    _, firsts, of_image = np.unique(groups, return_index=True, return_inverse=True)
    if len(firsts) < 2:
        return _split(np.zeros(len(names), bool))
    images_of_class = np.unique(labels, return_counts=True)[1]
    held, folds = _folds(fraction, min(len(firsts), int(images_of_class.max())))
    cells = len(firsts) * len(images_of_class)
    if folds * len(firsts) > _MOST_TRIALS or cells > _MOST_CELLS:
        train, val = hold_back_together(names, labels, fraction, seed, groups)
        if not len(val):  # each class is one group, as it is with few groups too
            return hold_back_together(names, np.zeros_like(labels), fraction, seed, groups)
        return train, val
    ranked = _ranked(names, seed, firsts)[of_image]
    if folds > 1:
        fold_of = _fold_of_image(labels, ranked, folds)
        windows = [
            np.isin(fold_of, [(start + i) % folds for i in range(held)]) for start in range(folds)
        ]
        windows = [window for window in windows if window.any() and not window.all()]
        if windows:
            return _split(_best(windows, labels, fraction, _rank("folds", seed)))
    # Nothing to choose from, such as two groups of a class of one image each: the smallest group.
    return _split(ranked == np.argmin(np.bincount(ranked)))


def deal_folds(
    names: Sequence[str],
    labels: NDArray[np.int64],
    folds: int,
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return the fold of each image (N,), from 0 to `folds` - 1, stratified by `labels`.

    The images of a class are ranked by a hash of seed and name and dealt out one after the other,
    and the next class goes on where the last one ended: in each class, and in all, the sizes of two
    folds differ by one at most. With `groups`, numbers (N,), the first image of each group is
    dealt, and the others go where it goes.
    """
    if groups is not None:
        _, firsts, of_image = np.unique(groups, return_index=True, return_inverse=True)
        order = np.argsort(firsts)
        places = firsts[order]
        of_group = np.empty(len(firsts), np.int64)
        of_group[order] = deal_folds([names[i] for i in places], labels[places], folds, seed)
        return of_group[of_image]
    ranks = np.array([_rank(name, seed) for name in names], np.uint64)
    dealt = np.empty(len(names), np.int64)
    dealt[np.lexsort((ranks, labels))] = np.arange(len(names)) % folds
    return dealt


def deal_group_folds(
    names: Sequence[str],
    labels: NDArray[np.int64],
    folds: int,
    seed: int,
    groups: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the fold of each image (N,), so that a group, which may be large, is in one fold.

    `groups` are numbers (N,), of at least `folds` groups. The shares of the classes in each fold
    are as equal as scikit-learn's StratifiedGroupKFold makes them; groups are ranked as by
    `hold_back_groups`. No fold is empty. With more groups, or more classes, than that takes seconds
    for, the first image of each group is dealt, as by `deal_folds`.
    """
    _, firsts, of_image = np.unique(groups, return_index=True, return_inverse=True)
    cells = len(firsts) * len(np.unique(labels))
    if folds * len(firsts) <= _MOST_TRIALS and cells <= _MOST_CELLS:
        ranked = _ranked(names, seed, firsts)[of_image]
        most = int(np.unique(labels, return_counts=True)[1].max())
        fold_of = _fold_of_image(labels, ranked, folds) if folds <= most else None
        # A fold stays empty where few groups are much larger than the others.
        if fold_of is not None and len(np.unique(fold_of)) == folds:
            return fold_of
    return deal_folds(names, labels, folds, seed, groups)


def _ranked(names: Sequence[str], seed: int, firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number groups by a hash of the seed and the name of their first image."""
    ranks = np.array([_rank(names[i], seed) for i in firsts], np.uint64)
    order = np.empty(len(firsts), np.int64)
    order[np.argsort(ranks, kind="stable")] = np.arange(len(firsts))
    return order


def _folds(fraction: float, most: int) -> tuple[int, int]:
    """Return how many folds of how many are held back; `most` is the largest number of folds."""
    ratio = Fraction(fraction).limit_denominator(max(1, min(_MOST_FOLDS, most)))
    if 0 < ratio < 1:
        return ratio.numerator, ratio.denominator
    # So little, or so much, that it is one fold, or all but one.
    folds = max(1, min(round(1 / (fraction if ratio == 0 else 1 - fraction)), most, 100))
    return (1 if ratio == 0 else folds - 1), folds


def _fold_of_image(
    labels: NDArray[np.int64], groups: NDArray[np.int64], folds: int
) -> NDArray[np.int64]:
    """Deal groups out to folds with about the same share of each class."""
    # Imported here, because scikit-learn takes longer to import than the rest of the package.
    from sklearn.model_selection import StratifiedGroupKFold

    fold_of = np.zeros(len(labels), np.int64)
    with warnings.catch_warnings():
        # On classes of fewer images than folds.
        warnings.simplefilter("ignore", UserWarning)
        # Not shuffled: the groups are in random order, which no other version deals out otherwise.
        parts = StratifiedGroupKFold(folds).split(labels, labels, groups)
        for fold, (_, members) in enumerate(parts):
            fold_of[members] = fold
    return fold_of


def _best(
    choices: Sequence[NDArray[np.bool_]], labels: NDArray[np.int64], fraction: float, rank: int
) -> NDArray[np.bool_]:
    """Choose what to hold back: no class without a training image, then the fraction of each."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)

    def cost(held: NDArray[np.bool_]) -> tuple[int, int, float]:
        held_counts = np.bincount(classes[held], minlength=len(counts))
        shares = np.append(held_counts / counts, held.mean())
        return (
            int((held_counts == counts).sum()),
            int((held_counts == 0).sum()),
            float(np.abs(shares - fraction).mean()),
        )

    costs = [cost(held) for held in choices]
    lost, missing, best = min(costs)
    good = [
        held
        for held, (a, b, c) in zip(choices, costs, strict=True)
        if (a, b) == (lost, missing) and c <= best + _TOLERANCE
    ]
    return good[rank % len(good)]


def _split(held: NDArray[np.bool_]) -> Split:
    return np.flatnonzero(~held), np.flatnonzero(held)


def _rank(name: str, seed: int) -> int:
    text = f"{seed}/{name}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
