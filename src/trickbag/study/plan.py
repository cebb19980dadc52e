"""The plan of a study: recipe x design x networks x seeds, and the trials that follow from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trickbag.data.config import MAX_FOLDS
from trickbag.errors import UserError, choices
from trickbag.evaluate.extra import EXTRA, ExtraSettings, extra_of
from trickbag.metrics.metric import default_score
from trickbag.models.config import model_config
from trickbag.paths import expanded, file_name, is_folder
from trickbag.recipe import digest
from trickbag.settings import plain
from trickbag.study.analysis.equivalence import require_margin
from trickbag.study.analysis.looks import stopped_cells
from trickbag.study.analysis.outcomes import require_outcome
from trickbag.study.designs.applicability import unfit_for_network
from trickbag.study.designs.arms import ArmDesign
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.designs.levels import LevelledDesign
from trickbag.study.limits import require_within
from trickbag.study.trial_plan import TrialPlan
from trickbag.study.tuning.layouts import tuned_layouts
from trickbag.study.units import MAX_SPLITS, SEEDS_OF_FOLD, Folds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trickbag.data.config import DataConfig
    from trickbag.data.dataset import Dataset
    from trickbag.optim.config import Device
    from trickbag.recipe import Recipe
    from trickbag.study.analysis.looks import Look
    from trickbag.study.designs.design import Design
    from trickbag.study.designs.layout import Layout
    from trickbag.study.kept_weights import KeepWeights
    from trickbag.study.records.result import Evaluations
    from trickbag.study.tuning.record import TuningRecord
    from trickbag.study.tuning.tuning import Tuning
    from trickbag.tricks.trick import TeacherSpec, Trick

__all__ = ["SEEDS", "StudyPlan"]

SEEDS = 5
"""The seeds of a study that does not say how many."""

LOOKS = 5
"""The looks of a study that goes on until it is settled and does not say at how many seeds."""


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study compares, and on which outcome.

    `models` are names of networks (none: the recipe's network). Seeds are 0, 1, ... `seeds` - 1;
    None stands for those of the study that a folder holds, and in a new one for SEEDS, or for those
    for which the backbones of a design have runs. `outcome` is a metric of `result.json`, by
    default the task's score: `top1`, or `map` where images have several labels; `map50` of
    detection, `miou` of segmentation.
    `retries` says how many times a trial that failed is tried again. `shard` (i, n) is the i-th of
    n parts of the trials. `keep` says which weights every trial keeps, and its numbers are of: the
    last epoch's by default, whatever the recipe says, so that no arm is flattered by the choice of
    its best epoch. `keep_weights` says which trials keep their files of weights once they have
    finished: none, full (those of the design's full recipe) or all; None stands for what the study
    that a folder holds has, and for full in a new one whose design has such a variant, else none.

    `beside` are outcomes that are measured in each trial too, though its effects are not theirs.
    For an outcome of `evaluate.extra.EXTRA` the kept weights of each trial are evaluated once it
    has trained: on at most `outcome_images` images of the validation part, or on the images of the
    folder `localization`, if it needs one. None stands for what `evaluated` says, the settings of
    the study that a folder holds, and in a new one for all images. `margin` is the smallest
    difference in the outcome that matters; None stands for that of the study that a folder holds
    with this outcome, and in a new one for none. `max_seeds` makes the study sequential: verdicts
    may be given again each time that seeds were added, up to so many; `until_settled` adds them by
    itself, `seeds` at a time, and stops arms that are settled. With `tuning` each arm is tuned
    before the comparison, on a part of the training images. With `folds` the training and
    validation images together are divided into so many, `splits` times, and every arm is trained
    for each fold, with `seeds` seeds of its own; None stands for those of the study that a folder
    holds, and in a new one for no folds, and for one split. The number of seeds is then 1 in a new
    study that names none. Raises UserError for values that cannot be.
    """

    recipe: Recipe
    design: Design = LeaveOneOut()
    models: tuple[str, ...] = ()
    seeds: int | None = None
    outcome: str = ""
    retries: int = 2
    shard: tuple[int, int] | None = None
    keep: Literal["best", "last"] = "last"
    keep_weights: KeepWeights | None = None
    beside: tuple[str, ...] = ()
    outcome_images: int | None = None
    localization: str | None = None
    evaluated: Evaluations = field(default_factory=dict)
    margin: float | None = None
    max_seeds: int | None = None
    until_settled: bool = False
    tuning: Tuning | None = None
    folds: int | None = None
    splits: int | None = None

    def __post_init__(self) -> None:
        training = dataclasses.replace(self.recipe.training, keep=self.keep)
        # The dataclass is frozen; the recipe is settled for all arms alike.
        object.__setattr__(self, "recipe", self.recipe.replace(training=training))
        if self.seeds is not None and self.seeds < 1:
            raise UserError(f"seeds = {self.seeds}: a study needs at least 1 (an interval needs 2)")
        require_within(seeds=self.seeds, retries=self.retries)
        require_margin(self.margin)
        require_within(max_seeds=self.max_seeds)
        if self.max_seeds is not None and (self.seeds or 0) > self.max_seeds:
            raise UserError(f"seeds = {self.seeds}: max_seeds = {self.max_seeds} are the most")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise UserError(f"shard = {self.shard_text}: must be I/N with I from 1 to N")
        if self.keep_weights not in (None, "none", "full", "all"):
            raise UserError(f"keep_weights = {self.keep_weights!r}: must be one of none, full, all")
        if self.keep_weights == "full" and self.design.full is None:
            raise UserError(
                f"keep_weights = full: the design {self.design.kind} has no variant of the full "
                "recipe",
                "choose none or all",
            )
        multi_label, task = self.recipe.data.multi_label, self.recipe.task.kind
        if not self.outcome:
            # The dataclass is frozen; its default follows from another field.
            object.__setattr__(self, "outcome", default_score(multi_label, task))
        for name in self.outcomes:
            require_outcome(name, multi_label, task=task)
            if self.outcomes.count(name) > 1:
                raise UserError(f"outcome {name!r} is named twice")
        self._check_evaluations()
        if self.until_settled and self.seeds == 1:
            raise UserError("seeds = 1: until_settled needs at least 2 seeds a look")
        if self.until_settled and self.shard is not None:
            raise UserError("until_settled and shard exclude each other: a shard settles nothing")
        self.design.check(self.recipe, self.models, self.seeds)
        self._check_tuning()
        self._check_folds()
        for name in self.models:
            model_config(name)
            if self.models.count(name) > 1:
                raise UserError(f"models: {name} is named twice")

    def _check_tuning(self) -> None:
        """Raise UserError for a tuning that is not for this recipe and this design."""
        if self.tuning is None:
            return
        if self.shard is not None:
            raise UserError(
                "tuning and shard exclude each other: a shard has too few trials to choose by"
            )
        levels = self.design.levels if isinstance(self.design, LevelledDesign) else ()
        self.tuning.check(self.recipe, levels)

    def _check_folds(self) -> None:
        """Raise UserError for folds that cannot be, and for what has no valid rule on folds."""
        if self.splits is not None and self.folds is None:
            raise UserError(f"splits = {self.splits}: they are of folds", "say how many: --folds K")
        if self.folds is None:
            return
        if not 2 <= self.folds <= MAX_FOLDS:
            raise UserError(f"folds = {self.folds}: must be from 2 to {MAX_FOLDS}")
        if (self.seeds or 1) > SEEDS_OF_FOLD:
            raise UserError(f"seeds = {self.seeds}: a fold has at most {SEEDS_OF_FOLD}")
        if self.splits is not None and not 1 <= self.splits <= MAX_SPLITS:
            raise UserError(f"splits = {self.splits}: must be from 1 to {MAX_SPLITS}")
        data = self.recipe.data
        if data.folds is not None:
            raise UserError(
                f"the recipe names fold {data.fold} of {data.folds} (data.folds, data.fold), and "
                f"the study has {self.folds} folds",
                "leave these settings out (data.folds=none)",
            )
        if data.inner_folds is not None:
            raise UserError(
                f"data.inner_folds = {data.inner_folds}: a study on folds judges each run by its "
                "fold",
                "leave it out",
            )
        if self.tuning is not None:
            raise UserError(
                "tuning and folds exclude each other: every image validates on one of the folds, "
                "and so none is left to tune on",
                "tune on other images, or in a study without folds, and fix the values by --set",
            )
        for name in ("max_seeds", "until_settled"):
            if getattr(self, name):
                raise UserError(
                    f"{name} and folds exclude each other: looks are planned by seeds, and seeds "
                    "on the same folds are no new splits",
                    "fix the folds, the splits and the seeds before the first trial",
                )
        if self.outcome.startswith("test_"):
            raise UserError(
                f"outcome {self.outcome!r}: every fold has the same test images, for which the "
                "interval of a study on folds is not",
                f"choose {self.outcome.removeprefix('test_')}, or a study without folds",
            )
        if self.division is not None:  # raises UserError for a split seed that is too large
            self.division.data(data, split=self.division.splits - 1)

    @property
    def division(self) -> Folds | None:
        """How the data are divided; None without folds."""
        return None if self.folds is None else Folds(count=self.folds, splits=self.splits or 1)

    @property
    def data(self) -> DataConfig:
        """The settings of the data that the study is prepared with: of the first fold, if any."""
        data = self.recipe.data
        return data if self.division is None else self.division.data(data)

    def _check_evaluations(self) -> None:
        """Raise UserError for a setting of an evaluation that none of the outcomes needs."""
        extras = {name: EXTRA[name] for name in self.evaluations}
        wanted = {
            "outcome_images": [extra for extra in EXTRA.values() if "limit" in extra.arguments],
            "localization": [extra for extra in EXTRA.values() if extra.needs_directory],
        }
        for field_name, users in wanted.items():
            if getattr(self, field_name) is not None and not any(
                extra in users for extra in extras.values()
            ):
                metrics = choices(name for extra in users for name in extra.metrics)
                raise UserError(f"{field_name} is for the outcomes {metrics}, not {self.outcome}")

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What is measured in each trial: the outcome, and those beside it."""
        return (self.outcome, *self.beside)

    @property
    def evaluations(self) -> dict[str, ExtraSettings]:
        """The evaluations that each trial is to have, with their settings."""
        names = dict.fromkeys(filter(None, map(extra_of, self.outcomes)))
        return {name: EXTRA[name].settings(self._settings(name)) for name in names}

    def _settings(self, evaluation: str) -> ExtraSettings:
        before = self.evaluated.get(evaluation, ExtraSettings())
        return ExtraSettings(
            limit=before.limit if self.outcome_images is None else self.outcome_images,
            seed=before.seed,
            directory=before.directory if self.localization is None else self.localization,
        )

    def require_directories(self) -> None:
        """Raise UserError where an evaluation lacks its folder of images."""
        for name, settings in self.evaluations.items():
            extra = EXTRA[name]
            if not extra.needs_directory:
                continue
            outcome = next(outcome for outcome in self.outcomes if outcome in extra.metrics)
            if settings.directory is None:
                raise UserError(
                    f"outcome {outcome!r} is measured on images with boxes",
                    "name their folder: --localization DIR (localization=DIR)",
                )
            if not is_folder(Path(settings.directory)):
                raise UserError(f"localization = {settings.directory}: no such folder")

    @property
    def number_of_seeds(self) -> int:
        """The seeds of each trial, in a new study."""
        if self.seeds is not None:
            return self.seeds
        seeds = self.design.most_seeds or (SEEDS if self.folds is None else 1)
        if self.until_settled and self.max_seeds is not None:
            seeds = max(2, math.ceil(self.max_seeds / LOOKS))
        return seeds if self.max_seeds is None else min(seeds, self.max_seeds)

    @property
    def weights_kept(self) -> KeepWeights:
        """The trials that keep their weights."""
        return self.keep_weights or ("full" if self.design.full else "none")

    @property
    def shard_text(self) -> str | None:
        """The shard as I/N; None for the whole study."""
        return None if self.shard is None else "{}/{}".format(*self.shard)

    def default_folder(self) -> Path:
        """Return the folder of a study that names none; the same for what extends the study."""
        identity: dict[str, Any] = {
            "recipe": self.recipe.identity(),
            "source": self.recipe.data.source,
            "design": self.design.kind,
        }
        if self.tuning is not None:
            identity["tuning"] = plain(self.tuning)
        if self.division is not None:
            identity["folds"] = dataclasses.asdict(self.division)
        if isinstance(self.design, ArmDesign):
            # Against another first arm it is another study.
            identity["base"] = self.design.first(self.recipe)
        source = Path(self.recipe.data.source).stem or "data"
        # The digest is not cut off where the names are long.
        name = file_name(f"study-{self.recipe.name}-{source}-{self.design.kind}")
        return Path("runs") / f"{name}-{digest(identity)[:8]}"

    def recipes(self) -> dict[str, Recipe]:
        """Return the recipe on each network, by the network's name."""
        if not self.models:
            return {self.design.network(self.recipe): self.recipe}
        return {name: self.recipe.on(name) for name in self.models}

    def on_machine(self, threads: int, device: Device) -> StudyPlan:
        """Return the plan with the threads and the device of every trial settled.

        Every trial then computes alike, whoever runs it and when.
        """
        training = dataclasses.replace(self.recipe.training, threads=threads, device=device)
        return dataclasses.replace(self, recipe=self.recipe.replace(training=training))

    def inapplicable(self, dataset: Dataset) -> dict[str, dict[str, str]]:
        """Return the tricks that cannot work on a network, with the reason, for each network."""
        reasons: dict[str, dict[str, str]] = {}
        for name, recipe in self.recipes().items():
            tricks = dict.fromkeys((*recipe.tricks, *self.design.studied(recipe)))
            reasons[name] = {}
            for on_network in self.design.on_networks(recipe):
                reasons[name] |= unfit_for_network(on_network, tricks, dataset)
        return reasons

    def layouts(self, inapplicable: Mapping[str, Mapping[str, str]]) -> list[Layout]:
        """Return the variants on each network; `inapplicable` as in `trial_plan`."""
        return [
            self.design.layout(recipe, name, inapplicable=inapplicable.get(name))
            for name, recipe in self.recipes().items()
        ]

    def trial_plan(
        self,
        inapplicable: Mapping[str, Mapping[str, str]],
        fingerprint: str,
        looks: Sequence[Look] = (),
        tuned: TuningRecord | None = None,
    ) -> TrialPlan:
        """Return the trials on the data of a fingerprint, after the `looks` of the study so far.

        `inapplicable` is what the method of this name returned; `tuned` says what was chosen for
        each arm. Raises UserError where trials would store different teacher logits in one file.
        """
        layouts = self.layouts(inapplicable)
        if tuned is not None:
            layouts = tuned_layouts(layouts, tuned)
        recipes = [
            variant.recipe
            for layout in layouts
            for variant in layout.variants
            if variant.recipe is not None
        ]
        tricks = (trick for recipe in recipes for trick in recipe.tricks)
        _check_teacher_files(tricks, folds=self.folds is not None)
        stopped = stopped_cells(layouts, looks, self.outcome) if self.until_settled else None
        return TrialPlan.of(
            layouts,
            self.number_of_seeds,
            fingerprint,
            self.shard,
            stopped,
            folds=self.division,
        )


def _check_teacher_files(tricks: Iterable[Trick], *, folds: bool) -> None:
    """Raise UserError where trials would store different logits of a teacher in one file."""
    specs: dict[Path, TeacherSpec] = {}
    for trick in tricks:
        try:
            spec = trick.teachers()
        except UserError:
            continue  # the trick names no teacher, which a trial reports
        if spec is None or spec.cache is None or spec.view == "online":
            continue
        if folds:
            raise UserError(
                f"{trick.name}.cache = {spec.cache}: each fold of a study has training images of "
                "its own, whose logits do not go into one file",
                "leave cache out",
            )
        # The logits of replayed views are those of a seed's crops.
        if spec.view == "replay":
            raise UserError(
                f"{trick.name}.cache = {spec.cache}: with view=replay each seed of a study has "
                "logits of its own, and they do not go into one file",
                "leave cache out",
            )
        # By the absolute path: two names may lead to one file.
        first = specs.setdefault(expanded(spec.cache).absolute(), spec)
        if (first.teachers, first.top) != (spec.teachers, spec.top):
            raise UserError(
                f"{trick.name}.cache = {spec.cache}: levels with other teachers, or another top, "
                "have logits of their own, and they do not go into one file",
                "leave cache out",
            )
