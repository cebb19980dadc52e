"""Weights of a blend, fitted to out-of-fold predictions.

Shapes: N images, M members, K classes. `shares_NM` is the probability that each member gives to
the label of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trickbag.cross_validation.folder import CrossValidationFolder
from trickbag.cross_validation.out_of_fold import read_probabilities
from trickbag.cross_validation.result import CrossValidationResult
from trickbag.errors import UserError
from trickbag.evaluate.blend_file import BlendFile, BlendMember, run_beside
from trickbag.files import read_csv
from trickbag.train.folder.fold_runs import FoldsRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["blend_runs", "fit_weights", "fitted_members"]

_GAP = 1e-6
"""By how many nats an image the loss of the fitted weights may lie above the least one."""

_STEPS = 20_000
_SMALLEST = 1e-12
"""The least probability: one of 0 would make an infinite loss of a single image."""

_NO_WEIGHT = 1e-3
"""A weight below it changes no prediction that a person could see."""


def fit_weights(shares_NM: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights (M,), at least 0, of sum 1, with the least log loss of the mixture.

    The loss is convex in them. By the EM algorithm of a mixture's proportions, until the gap to the
    least loss is below 1e-6 nats.

    Source: Dempster, Laird, Rubin 1977, section 4.3, for the algorithm; for the gap: of a concave
    likelihood it is at most the largest derivative, minus 1.
    """
    count = shares_NM.shape[1]
    shares_NM = np.maximum(shares_NM, _SMALLEST)
    weights = np.full(count, 1 / count)
    for _ in range(_STEPS):
        slopes = (shares_NM / (shares_NM @ weights)[:, None]).mean(axis=0)
        if slopes.max() - 1 < _GAP:
            break
        weights = weights * slopes
        weights /= weights.sum()
    weights[weights < _NO_WEIGHT] = 0
    return np.asarray(weights / weights.sum())


def _loss(shares_NM: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    return float(-np.log(np.maximum(shares_NM @ weights, _SMALLEST)).mean())


def _cross_fitted(shares_NM: NDArray[np.float64], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the loss on each fold of weights that are fitted on the others."""
    return np.array(
        [
            _loss(shares_NM[folds == fold], fit_weights(shares_NM[folds != fold]))
            for fold in np.unique(folds)
        ]
    )


@dataclass(frozen=True, kw_only=True)
class FittedMember:
    """What the fit says of a member; `rejected` is why it has no weight, else None."""

    weight: float
    rejected: str | None = None
    helps_on: int | None = None


def fitted_members(
    shares_NM: NDArray[np.float64], folds: NDArray[np.int64]
) -> tuple[list[FittedMember], float]:
    """Return the members of a blend, and its cross-fitted loss in nats.

    A member stays if the blend's cross-fitted loss is lower with it than without it, in the mean
    and on more than one fold. The one that helps least is rejected first, and the others are judged
    anew. One member always stays.
    """
    total = len(np.unique(folds))
    kept = list(range(shares_NM.shape[1]))
    outcome: dict[int, FittedMember] = {}
    while True:
        with_all = _cross_fitted(shares_NM[:, kept], folds)
        if len(kept) == 1:
            break
        gains = {}
        for member in kept:
            rest = [other for other in kept if other != member]
            gains[member] = _cross_fitted(shares_NM[:, rest], folds) - with_all
        doubtful = {
            member: gain
            for member, gain in gains.items()
            if gain.mean() <= 0 or (gain > 0).sum() <= 1
        }
        if not doubtful:
            outcome |= {
                member: FittedMember(weight=0.0, helps_on=int((gain > 0).sum()))
                for member, gain in gains.items()
            }
            break
        least = min(doubtful, key=lambda member: float(doubtful[member].mean()))
        helps_on = int((gains[least] > 0).sum())
        reason = _rejection(helps_on, total)
        outcome[least] = FittedMember(weight=0.0, rejected=reason, helps_on=helps_on)
        kept.remove(least)
    weights = fit_weights(shares_NM[:, kept])
    for member, weight in zip(kept, weights, strict=True):
        judged = outcome.get(member, FittedMember(weight=0.0))
        rejected = None if weight > 0 else "does not help: its weight is 0"
        outcome[member] = FittedMember(
            weight=float(weight), rejected=rejected, helps_on=judged.helps_on
        )
    shares = [(folds == fold).mean() for fold in np.unique(folds)]
    return [outcome[i] for i in range(shares_NM.shape[1])], float(with_all @ shares)


def _rejection(helps_on: int, folds: int) -> str:
    """Say why a member is rejected that helps on some of the folds."""
    if helps_on == 0:
        return "does not help"
    if helps_on == 1:
        return f"helps on one fold of {folds} only"
    return f"the loss is no lower with it, though it helps on {helps_on} of {folds} folds"


@dataclass(frozen=True, kw_only=True)
class _Predictions:
    """The out-of-fold predictions of one cross-validation.

    labels, folds: by image. shares: by image the probability of its label, NaN without any.
    """

    record: FoldsRecord
    classes: tuple[str, ...]
    labels: dict[str, str]
    folds: dict[str, int]
    shares: dict[str, float]


def blend_runs(runs: Sequence[Path], out: Path) -> BlendFile:
    """Fit the weights of cross-validations of the same data; nothing is written.

    `out` is the file that will name them. Raises UserError for fewer than two, for one that is not
    finished or damaged, for several labels an image, and for those of other data or classes.
    """
    from trickbag import __version__

    if len(runs) < 2:
        raise UserError("one cross-validation alone: nothing to blend", "give two or more")
    if len({run.resolve() for run in runs}) < len(runs):
        raise UserError("a cross-validation is given twice", "give each once")
    predictions = [_read(run) for run in runs]
    first = predictions[0]
    notes = []
    for run, other in zip(runs[1:], predictions[1:], strict=True):
        _require_same(runs[0], first, run, other)
        if other.folds != first.folds:
            notes.append(
                f"{run} has other folds than {runs[0]}, by whose folds the weights are cross-fitted"
            )
    images = list(first.labels)
    shares_NM = np.array([[each.shares[image] for each in predictions] for image in images])
    folds = np.array([first.folds[image] for image in images])
    known = ~np.isnan(shares_NM).any(axis=1)
    if left_out := int((~known).sum()):
        notes.append(f"{left_out:,} images without finite logits in one of the runs are left out")
    shares_NM, folds = shares_NM[known], folds[known]
    if len(np.unique(folds)) < 2:
        raise UserError(f"{runs[0]} has predictions of one fold alone", "train all of its folds")
    members, loss = fitted_members(shares_NM, folds)
    return BlendFile(
        version=__version__,
        members=tuple(
            BlendMember(
                run=run_beside(run, out),
                weight=member.weight,
                loss=_loss(shares_NM[:, [i]], np.ones(1)),
                rejected=member.rejected,
                helps_on=member.helps_on,
            )
            for i, (run, member) in enumerate(zip(runs, members, strict=True))
        ),
        data=first.record.data,
        images=len(shares_NM),
        folds=len(np.unique(folds)),
        loss=loss,
        mean_loss=_loss(shares_NM, np.full(len(runs), 1 / len(runs))),
        best_loss=_best_of_others(shares_NM, folds),
        notes=tuple(notes),
    )


def _best_of_others(shares_NM: NDArray[np.float64], folds: NDArray[np.int64]) -> float:
    """Return the loss of the member that is best on the other folds, in the mean of all images."""
    losses_NM = -np.log(np.maximum(shares_NM, _SMALLEST))
    total = 0.0
    for fold in np.unique(folds):
        best = losses_NM[folds != fold].mean(axis=0).argmin()
        total += losses_NM[folds == fold, best].sum()
    return float(total / len(folds))


def _read(run: Path) -> _Predictions:
    folder = CrossValidationFolder(run)
    record = FoldsRecord.read(run)
    if record is None:
        raise UserError(
            f"{run} is no cross-validation, and has no out-of-fold predictions",
            "train it with --folds K",
        )
    result = CrossValidationResult.read(folder.result)
    if result is None:
        raise UserError(
            f"{run} is a cross-validation whose folds are not all trained",
            f"trickbag train --resume --out {run} goes on",
        )
    if result.metrics.get("top1") is None:
        raise UserError(
            f"{run} gives several labels an image, and a blend is of one",
            "give the runs to predict as they are: it averages them",
        )
    classes = tuple(result.classes)
    place = {name: i for i, name in enumerate(classes)}
    images, folds, probabilities_NK = read_probabilities(folder.out_of_fold, classes)
    labels = [label for _, (label,) in read_csv(folder.out_of_fold, ["label"])]
    if unknown := set(labels) - set(classes):
        raise UserError(f"cannot read {folder.out_of_fold}: no class {min(unknown)!r}")
    rows = zip(images, labels, probabilities_NK, strict=True)
    return _Predictions(
        record=record,
        classes=classes,
        labels=dict(zip(images, labels, strict=True)),
        folds=dict(zip(images, folds, strict=True)),
        shares={image: float(shares_K[place[label]]) for image, label, shares_K in rows},
    )


def _require_same(run: Path, first: _Predictions, path: Path, other: _Predictions) -> None:
    """Raise UserError for predictions of other data than the first ones."""
    way_out = "blend cross-validations of the same data"
    if set(other.classes) != set(first.classes):
        raise UserError(f"{path} and {run} have other classes", way_out)
    if other.labels != first.labels:
        differing = set(other.labels.items()) ^ set(first.labels.items())
        raise UserError(
            f"{path} and {run} have other images or labels, such as {min(differing)[0]}", way_out
        )
