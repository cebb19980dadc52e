"""The temperature of an average: fitted to it, and kept in the folder of its first run.

An average is less sure of itself than its networks, so that no temperature of these is right for
it. `RUN/evaluations/average_temperatures.json` has those that were fitted, each for one average:
these weights, views and precisions, of this run's data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from trickbag.errors import Note, RunFailed, TrickbagError, UserError, shown
from trickbag.evaluate.average import AveragedNetwork, geometric_note, split_notes
from trickbag.evaluate.evaluation import evaluate
from trickbag.evaluate.record import EVALUATIONS
from trickbag.evaluate.selection import CHANGED
from trickbag.files import read_json_object, write_json
from trickbag.metrics.temperature import LARGEST, SMALLEST, Status, Temperature, fit_temperature
from trickbag.models.weights import weights_digest
from trickbag.models.weights_names import folder_of_run
from trickbag.ranges import AtLeast, Between
from trickbag.recipe import digest
from trickbag.settings import Settings, plain, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trickbag.evaluate.evaluation import Evaluation
    from trickbag.evaluate.trained import Trained

__all__ = [
    "FEW_IMAGES",
    "AverageTemperature",
    "at_stored_temperature",
    "calibrated_average",
    "read_temperatures",
    "reason_not_kept",
    "store_average_temperature",
    "temperatures_file",
]

SCHEMA = 1
"""Version of the file's plain data."""

FEW_IMAGES = 5000
"""The most validation images that a prediction evaluates for the temperature of its average.

It is one number: of so many images it has an error of about 2 %.
"""

_KEPT = 32
"""The averages whose temperatures a folder keeps; the oldest go."""


@dataclass(frozen=True, kw_only=True)
class AverageTemperature(Settings):
    """A temperature that was fitted to an average, and the images that it was fitted on.

    `average` identifies the average (`_identity`), `title` names its weights. `data` is the source
    of the `images`, `status` that of `metrics.temperature.Temperature`.
    """

    average: str
    title: str
    data: str
    images: Annotated[int, AtLeast(0, 2**53)]
    temperature: Annotated[float, Between(SMALLEST / 2, 2 * LARGEST)]
    status: Status

    @property
    def reason(self) -> str | None:
        """Why the temperature is not the one of the maximal likelihood; None where it is."""
        fitted = Temperature(value=self.temperature, images=self.images, status=self.status)
        return fitted.reason

    @classmethod
    def of(cls, trained: Trained, evaluation: Evaluation) -> AverageTemperature:
        """Fit the temperature of an average to the logits of its evaluation."""
        validation = evaluation.classification
        assert validation.logits is not None
        fitted = fit_temperature(validation.logits, validation.labels)
        return cls(
            average=_identity(trained),
            title=evaluation.weights,
            data=evaluation.data,
            images=fitted.images,
            temperature=fitted.value,
            status=fitted.status,
        )


def temperatures_file(trained: Trained) -> Path:
    """Return the file in the folder of an average's first run."""
    return folder_of_run(trained.members[0].path) / EVALUATIONS / "average_temperatures.json"


def reason_not_kept(trained: Trained) -> str | None:
    """Say why no folder keeps the temperature of an average; None if one does."""
    first = trained.members[0]
    if first.record is None or first.record.fingerprint is None:
        return f"{first.path} does not lie in the folder of a run"
    reasons = [note.reason for note in split_notes(trained)]
    return reasons[0] if reasons else None


def read_temperatures(file: Path) -> list[AverageTemperature]:
    """Read the temperatures of a folder, the oldest first; none where there is no file.

    Raises UserError for a damaged file.
    """
    data = read_json_object(file)
    if data is None:
        return []
    try:
        if data.get("schema") != SCHEMA:
            raise UserError(
                f"schema = {shown(data.get('schema'))}: this version of trickbag reads schema "
                f"{SCHEMA}"
            )
        rows = data.get("temperatures")
        if not isinstance(rows, list):
            raise UserError(f"temperatures = {shown(rows)}: must be a list")
        return [
            read(AverageTemperature, row, f"temperatures[{place}]")
            for place, row in enumerate(rows)
        ]
    except UserError as error:
        raise UserError(
            f"cannot read {file}: {error.reason}", "delete it: the temperatures are fitted anew"
        ) from error


def store_average_temperature(trained: Trained, entry: AverageTemperature) -> Path:
    """Keep a temperature in the folder of the average's first run, in place of an older one.

    Raises RunFailed where the folder cannot be written, UserError for a damaged file.
    """
    file = temperatures_file(trained)
    rows = [row for row in read_temperatures(file) if row.average != entry.average]
    try:
        file.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise RunFailed(f"cannot write {file}: {error.strerror or error}") from error
    kept = [*rows, entry][-_KEPT:]
    write_json(file, {"schema": SCHEMA, "temperatures": [plain(row) for row in kept]})
    return file


def at_stored_temperature(trained: Trained) -> Trained:
    """Return an average with the temperature that was fitted to it, if its first run keeps one.

    What is no average is returned as it is. Raises UserError for a damaged file.
    """
    if not _is_calibrated_average(trained) or reason_not_kept(trained) is not None:
        return trained
    identity = _identity(trained)
    for entry in read_temperatures(temperatures_file(trained)):
        if entry.average == identity:
            return _at(trained, entry)
    return trained


def calibrated_average(
    trained: Trained,
    *,
    announce: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Trained:
    """Return an average with a temperature that was fitted to it.

    It is the one that its first run keeps. Else it is fitted on the validation images of the run,
    up to `FEW_IMAGES` of them, whose data are those of the first of its runs that can be opened;
    it is kept, and a note says so. Where networks may have been trained on these images, and where
    no data can be opened, the average keeps the mean temperature of its networks, and a note says
    why. What is no average is returned as it is.

    `announce` is called with a line before images are evaluated, `progress(done, total)` while
    files are checked. `options` are those of `evaluate.evaluation.evaluate`. Raises UserError for a
    damaged file of temperatures.
    """
    stored = at_stored_temperature(trained)
    if stored is not trained or not _is_calibrated_average(trained):
        return stored
    reason = reason_not_kept(trained)
    if reason is not None:
        return _noting(trained, f"no temperature is fitted to this average: {reason}")
    if announce is not None:
        announce(
            "the temperature of this average is fitted on validation images of "
            f"{trained.members[0].path}, and kept"
        )
    failures = []
    for member in trained.members:
        try:
            evaluation = evaluate(
                replace(trained, record=member.record),
                limit=FEW_IMAGES,
                progress=progress,
                **options,
            )
        except TrickbagError as error:
            failures.append(f"{member.path}: {error.reason}")
            continue
        return _kept(trained, evaluation)
    return _noting(
        trained, f"no temperature is fitted to this average: no data to fit it ({failures[0]})"
    )


def _kept(trained: Trained, evaluation: Evaluation) -> Trained:
    """Return an average with the temperature of an evaluation, kept in its first run's folder."""
    entry = AverageTemperature.of(trained, evaluation)
    text = (
        f"temperature {entry.temperature:.4f} was fitted to this average on {entry.images:,} "
        f"validation images of {entry.data}"
    )
    if CHANGED in evaluation.notes:
        # It would stand for the images on which the run was validated.
        text += f", and is not kept: {CHANGED.reason}"
    else:
        try:
            text += f", and is kept in {store_average_temperature(trained, entry)}"
        except RunFailed as error:
            text += f", and is not kept: {error.reason}"
    return _noting(_at(trained, entry), text)


def _is_calibrated_average(trained: Trained) -> bool:
    """Tell whether a network is an average whose confidences can be calibrated."""
    return bool(trained.members) and trained.thresholds is None


def _at(trained: Trained, entry: AverageTemperature) -> Trained:
    kept = [note for note in trained.notes if note != geometric_note(trained.members)]
    calibrated = replace(trained, temperature=entry.temperature, notes=tuple(kept))
    return calibrated if entry.reason is None else _noting(calibrated, entry.reason)


def _noting(trained: Trained, reason: str) -> Trained:
    return replace(trained, notes=(*trained.notes, Note("calibration", None, reason)))


def _identity(trained: Trained) -> str:
    """Return the hash of what decides an average's logits, and of its first run's data.

    Preprocessing and classes are in the weights, whose temperatures are left out.
    """
    network, record = trained.network, trained.members[0].record
    assert isinstance(network, AveragedNetwork)
    crops = None if network.crops is None else network.crops.crops
    return digest(
        {
            "networks": [
                {
                    "weights": weights_digest(member.trained.path),
                    "precision": member.trained.precision,
                    # Views that are not turned have the identity that they had before there were
                    # such.
                    "views": [
                        [place, view.flip, *([view.turns] if view.turns else [])]
                        for place, view in member.views
                    ],
                }
                for member in network.members
            ],
            # Only where there are any: the temperatures of other averages stay known.
            **({} if trained.weights is None else {"weights": list(trained.weights)}),
            "crops": [[plain(crop.preprocessing), list(crop.at)] for crop in crops or ()],
            "data": None if record is None else record.fingerprint,
        }
    )
