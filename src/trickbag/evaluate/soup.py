"""Model soups: one network whose weights are the mean of those of several runs.

Source: Wortsman et al. 2022 (arXiv 2203.05482), section 2 and algorithm 1.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from trickbag.data.dataset import prepare
from trickbag.data.loading.loader import default_workers
from trickbag.errors import Note, UserError
from trickbag.evaluate.average import require_no_folds
from trickbag.evaluate.evaluation import evaluate
from trickbag.metrics.metric import EVALUATED, default_score
from trickbag.train.loaders import evaluation_loader
from trickbag.train.statistics import reestimate, statistics_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from trickbag.data.source import Part
    from trickbag.evaluate.trained import Trained

__all__ = ["Soup", "cook", "mean_state"]


@dataclass(frozen=True, kw_only=True)
class Soup:
    """A soup, and what its making has measured on the validation images of the first run.

    trained: the network. score: the metric; scores: that of each run, in the order of the
    arguments; soup_score: that of the soup. ingredients: the places of the runs in it.
    """

    trained: Trained
    score: str
    scores: tuple[float, ...]
    soup_score: float
    ingredients: tuple[int, ...]
    images: int
    notes: tuple[Note, ...]


def mean_state(networks: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Return the mean of the weights of networks, taken in float64.

    What is no floating-point number is that of the first. Raises UserError where their tensors
    differ in name or shape.
    """
    states = [network.state_dict() for network in networks]
    first = states[0]
    for state in states[1:]:
        if {name: tensor.shape for name, tensor in state.items()} != {
            name: tensor.shape for name, tensor in first.items()
        }:
            raise UserError("the networks have other tensors", "give runs of one recipe")
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in first.items()
    }


def cook(
    trained: Sequence[Trained],
    *,
    greedy: bool = False,
    announce: Callable[[str], None] = lambda line: None,
) -> Soup:
    """Average the weights of runs of one recipe: of all, or, if `greedy`, of those that help.

    The greedy soup begins with the best run; each other, the better first, stays if the score on
    the validation images of the first run does not fall. Statistics of batch normalisation are
    computed anew for each soup, on up to 4,096 training images. `announce` gets a line for each
    network that was measured.

    Raises UserError for fewer than two, for other than runs of one network, and where their data
    cannot be used.
    """
    _require_alike(trained)
    first = trained[0]
    record = first.record
    assert record is not None  # `_require_alike`
    training = _training_images(first)
    score = default_score(first.thresholds is not None, first.task.kind)
    sign = -1.0 if EVALUATED[score].better == "lower" else 1.0
    scores, images = [], 0
    for each in trained:
        evaluation = evaluate(replace(each, record=record))
        images = evaluation.images
        scores.append(_defined(evaluation.metrics[score], score, each))
        announce(f"{each.path}: {EVALUATED[score].title} {scores[-1]:.2f}")

    def measured(places: Sequence[int]) -> tuple[Trained, float]:
        mixed = _mixed([trained[i] for i in places], training)
        return mixed, _defined(evaluate(mixed).metrics[score], score, mixed)

    order = sorted(range(len(trained)), key=lambda i: (-sign * scores[i], i))
    if not greedy:
        chosen = list(range(len(trained)))
        soup, soup_score = measured(chosen)
    else:
        chosen = order[:1]
        soup, soup_score = trained[chosen[0]], scores[chosen[0]]
        for place in order[1:]:
            tried, tried_score = measured([*chosen, place])
            announce(f"with {trained[place].path}: {tried_score:.2f}")
            if sign * tried_score >= sign * soup_score:
                chosen.append(place)
                soup, soup_score = tried, tried_score
    return Soup(
        trained=replace(soup, temperature=None, epoch=None, epochs=None),
        score=score,
        scores=tuple(scores),
        soup_score=soup_score,
        ingredients=tuple(sorted(chosen)),
        images=images,
        notes=tuple(_notes(trained, greedy)),
    )


def _defined(value: float | None, score: str, trained: Trained) -> float:
    if value is None:
        raise UserError(f"{score} of {trained.path} is undefined on these images")
    return value


def _mixed(trained: Sequence[Trained], training: tuple[Part, int]) -> Trained:
    """Return the soup of some runs, with statistics of its own, and mean thresholds."""
    first = trained[0]
    network = copy.deepcopy(first.network)
    network.load_state_dict(mean_state([each.network for each in trained]))
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    mixed = replace(first, network=network.eval(), thresholds=_mean_thresholds(trained))
    if norms:
        part, batch_size = training
        assert first.record is not None
        with evaluation_loader(
            part,
            first.record.data,
            first.preprocessing,
            batch_size=batch_size,
            workers=default_workers(part, first.device.type),
            device=first.device.type,
        ) as loader:
            reestimate(
                network,
                loader,
                norms=norms,
                preprocessing=first.preprocessing,
                device=first.device,
                autocast_dtype=first.autocast_dtype,
                layout=first.layout,
            )
    return mixed


def _mean_thresholds(trained: Sequence[Trained]) -> tuple[float, ...] | None:
    rows = [each.thresholds for each in trained]
    if any(row is None for row in rows):
        return None
    columns = zip(*(row or () for row in rows), strict=True)
    return tuple(sum(column) / len(rows) for column in columns)


def _training_images(first: Trained) -> tuple[Part, int]:
    """Return the images for statistics, and the size of their batches."""
    assert first.record is not None
    dataset = prepare(
        first.record.data, pixels=first.preprocessing.pixels, annotations=first.task.annotations
    )
    return statistics_rows(dataset.train, first.batch_size), first.batch_size


def _require_alike(trained: Sequence[Trained]) -> None:
    """Raise UserError for runs that cannot be one network."""
    if len(trained) < 2:
        raise UserError("one run alone: nothing to average", "give two or more")
    first = trained[0]
    for each in trained:
        if each.record is None:
            raise UserError(
                f"{each.path} has no recipe.json beside it, which names its data",
                "give the folders of runs",
            )
    for each in trained[1:]:
        pair = f"{first.path} and {each.path}"
        for what, same in (
            ("networks", (each.model, each.task) == (first.model, first.task)),
            ("classes in another order or other classes", each.classes == first.classes),
            ("preprocessing", each.preprocessing == first.preprocessing),
            ("kinds of labels", (each.thresholds is None) == (first.thresholds is None)),
        ):
            if not same:
                raise UserError(
                    f"{pair} have other {what}: their weights have no mean that is of use",
                    "give runs of one recipe; predict averages the probabilities of any runs",
                )
    require_no_folds(replace(first, members=tuple(trained)))


def _notes(trained: Sequence[Trained], greedy: bool) -> list[Note]:
    from trickbag.evaluate.average import split_notes

    first = trained[0]
    notes = split_notes(replace(first, members=tuple(trained)))
    starts = {_start(each) for each in trained}
    if len(starts) > 1 or None in starts:
        reason = (
            "the runs do not start from the same weights: the mean of networks that are far apart "
            "is often worse than each"
        )
        notes.append(Note("weights", None, reason))
    if greedy:
        reason = (
            "the runs of a greedy soup are chosen on the images of its score, which flatters it"
        )
        notes.append(Note("choice", None, reason))
    return notes


def _start(trained: Trained) -> str | None:
    """Return what a run started from: the hash or the name of weights; None for new ones."""
    trial = None if trained.record is None else trained.record.trial
    init = (trial or {}).get("init")
    if init:
        return str(init)
    return "published" if trained.plan is not None and trained.plan.training.pretrained else None
