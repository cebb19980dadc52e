"""Whether a recipe's measured result comes out again: its runs, trained anew and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.errors import RunFailed, Stopped, UserError, choices
from trickbag.files import read_json_object, write_json
from trickbag.paths import is_folder
from trickbag.recipe import digest
from trickbag.recipes import RECIPES
from trickbag.recipes.stated import MeasuredResult, PublishedResult, stated_results
from trickbag.study.task import TrainTrial
from trickbag.study.trial import Trial, trial_name
from trickbag.train.folder.identity import trial_of
from trickbag.train.folder.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from trickbag.data.dataset import Dataset
    from trickbag.optim.config import Device
    from trickbag.recipe import Recipe
    from trickbag.study.executors import Executor

__all__ = ["Verification", "measured_result", "require_measured", "verification_recipe", "verify"]

_RECORD = "verification.json"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A stated result beside the values of new runs, which `holds` or not.

    It holds where the mean of the values is in the interval `low` to `high`, in which the mean of
    as many new runs is with a probability of 95 %.
    """

    recipe: str
    stated: MeasuredResult
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of the new runs."""
        return sum(self.values) / len(self.values)

    @property
    def interval(self) -> tuple[float, float]:
        """The prediction interval of the mean of as many runs."""
        return self.stated.prediction_interval(len(self.values))

    @property
    def holds(self) -> bool:
        """Whether the mean is in the interval; differences of rounding do not count."""
        low, high = self.interval
        return low - _ROUNDING <= self.mean <= high + _ROUNDING

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        low, high = self.interval
        return {
            "recipe": self.recipe,
            "holds": self.holds,
            "values": list(self.values),
            "value": self.mean,
            "low": low,
            "high": high,
            "stated": self.stated.to_dict(),
        }


_ROUNDING = 1e-9


def require_measured(name: str) -> tuple[MeasuredResult, ...]:
    """Return the measured results of a recipe, of which there is at least one.

    Raises UserError for a recipe that does not ship, and for one whose result needs data that are
    not here; it names what the recipe states.
    """
    if name not in RECIPES:
        raise UserError(
            f"no recipe {name!r} that ships with a result", f"there are {choices(RECIPES)}"
        )
    stated = stated_results(name)
    measured = tuple(each for each in stated if isinstance(each, MeasuredResult))
    if measured:
        return measured
    if not stated:
        raise UserError(
            f"{name} states no result: what to expect depends on the data and the weights that it "
            "starts from"
        )
    published = next(each for each in reversed(stated) if isinstance(each, PublishedResult))
    raise UserError(
        f"{name} states {published.text}; to verify it takes {published.data}, which this command "
        "does not train on"
    )


def measured_result(name: str, dataset: Dataset, source: str) -> MeasuredResult:
    """Return the stated result of a recipe that is of the data of a source.

    Raises UserError where there is none: the data are known by their fingerprint.
    """
    results = require_measured(name)
    for result in results:
        if result.fingerprint == dataset.fingerprint:
            return result
    known = ", ".join(f"{each.data} ({each.fingerprint[:12]})" for each in results)
    raise UserError(
        f"{source} has the fingerprint {dataset.fingerprint[:12]}: the names, sizes or labels of "
        f"its images are not those of a result that {name} states, on {known}",
        "give these data, or leave --data out",
    )


def verification_recipe(
    name: str,
    stated: MeasuredResult,
    source: str,
    device: Device = "auto",
    init: str | None = None,
) -> Recipe:
    """Return the recipe as it was measured, of the last epoch, on the data of a source.

    Raises UserError where `init` is not the file of weights that the result started from.
    """
    _require_weights(name, stated, init)
    recipe = RECIPES[name](data=source, **({} if stated.model is None else {"model": stated.model}))
    training = dataclasses.replace(
        recipe.training, epochs=stated.epochs, keep="last", device=device
    )
    if init is not None:
        training = dataclasses.replace(training, init=init, pretrained=False)
    data = recipe.data
    if stated.image_size is not None:
        data = dataclasses.replace(data, image_size=stated.image_size)
    return recipe.replace(training=training, data=data)


def _require_weights(name: str, stated: MeasuredResult, init: str | None) -> None:
    if stated.weights is None:
        if init is not None:
            raise UserError(f"--init {init}: the result of {name} starts from no weights")
        return
    if init is None:
        raise UserError(
            f"the result of {name} on {stated.data} starts from the weights {stated.weights}",
            "name the file: --init FILE",
        )
    from trickbag.models.weights import weights_digest

    if weights_digest(Path(init)) != stated.weights_digest:
        raise UserError(
            f"--init {init}: not the weights {stated.weights} that the result of {name} starts from"
        )


def verify(
    name: str,
    stated: MeasuredResult,
    recipe: Recipe,
    dataset: Dataset,
    *,
    executor: Executor,
    folder: Path,
    seeds: int | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Train the recipe with the first `seeds` seeds, all that are stated by default, and compare.

    The runs are kept in `folder`, by their ids; the same call goes on where another was stopped.
    Raises RunFailed where a run fails, UserError for a folder of something else, and Stopped.
    """
    _claim(folder, name)
    fingerprint = dataset.fingerprint
    trials = [
        Trial(
            id=digest(trial_of(recipe, seed, fingerprint)),
            label=name,
            model=recipe.network,
            recipe=recipe,
            seed=seed,
        )
        for seed in range(stated.seeds if seeds is None else seeds)
    ]
    values: dict[int, float] = {}
    try:
        for result in executor.run(TrainTrial(folder=folder / "runs", dataset=dataset), trials):
            values[result.seed] = _value(result, stated.metric, recipe)
            note(
                f"[{len(values)}/{len(trials)}] seed {result.seed}: {stated.metric} "
                f"{values[result.seed]:.4g}"
            )
    except Stopped as stopped:
        raise Stopped(
            f"{stopped}; {len(values)} of {len(trials)} runs are finished", signal=stopped.signal
        ) from stopped
    verification = Verification(
        recipe=name, stated=stated, values=tuple(values[seed] for seed in sorted(values))
    )
    write_json(folder / _RECORD, {"schema": SCHEMA, **verification.to_dict()})
    return verification


def _claim(folder: Path, name: str) -> None:
    """Create a folder that holds nothing but the verification of this recipe."""
    record: Mapping[str, Any] | None = read_json_object(folder / _RECORD)
    if record is not None:
        if record.get("recipe") != name:
            raise UserError(
                f"{folder} holds the verification of {record.get('recipe')}", "choose another --out"
            )
        return
    if is_folder(folder) and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no verification", "choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    write_json(folder / _RECORD, {"schema": SCHEMA, "recipe": name, "holds": None})


def _value(result: Result, metric: str, recipe: Recipe) -> float:
    place = trial_name({"model": recipe.network, "label": result.label, "seed": result.seed})
    if result.error is not None:
        raise RunFailed(f"{place}: {result.error}")
    value = result.metrics.get(metric)
    if value is None:
        raise RunFailed(f"{place} has no {metric}")
    return float(value)
