"""How a probe was chosen: the record of `probe.json` in a run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from trickbag.errors import UserError, shown
from trickbag.files import read_json_object, write_json
from trickbag.ranges import AtLeast
from trickbag.settings import Settings, plain, read
from trickbag.train.probe.candidates import ChosenBy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trickbag.metrics.bootstrap import Interval

__all__ = ["PROBE_FILE", "SCHEMA", "ProbeOutcome", "ProbeRecord"]

SCHEMA = 1
"""Version of a record's plain data."""

PROBE_FILE = "probe.json"

_Count = Annotated[int, AtLeast(0, 2**53)]


@dataclass(frozen=True, kw_only=True)
class ProbeRecord(Settings):
    """The settings of a probe with what they were chosen from, and the cost of its features.

    `l2_candidates` are pairs of a value and the mean loss in nats of an image held out,
    `neighbour_candidates` of a value and top-1 or mAP in percent; empty where the setting was
    given. `num_features` is the number of features of an image, `train_images` that of the images
    on which the classifier was fitted. `computed` images had no features in the cache; `features_s`
    and `fit_s` are seconds.
    """

    l2: float
    l2_by: ChosenBy
    neighbours: _Count
    neighbours_by: ChosenBy
    num_features: _Count
    train_images: _Count
    computed: _Count
    features_s: float
    fit_s: float
    l2_candidates: tuple[tuple[float, float], ...] = ()
    neighbour_candidates: tuple[tuple[float, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of `probe.json`."""
        return {"schema": SCHEMA, **plain(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProbeRecord:
        """Return the record that plain data hold.

        Raises UserError for another schema version, and for a part that is missing or of a wrong
        type.
        """
        schema = data.get("schema")
        if schema != SCHEMA:
            raise UserError(
                f"schema = {shown(schema)}: this version of trickbag reads probes of schema "
                f"{SCHEMA}"
            )
        return read(cls, {key: value for key, value in data.items() if key != "schema"}, "probe")

    def write(self, file: Path) -> None:
        """Write `probe.json`, as a whole or not at all."""
        write_json(file, self.to_dict())

    @classmethod
    def read(cls, file: Path) -> ProbeRecord | None:
        """Read `probe.json`, None where there is none; UserError where it is damaged."""
        data = read_json_object(file)
        if data is None:
            return None
        try:
            return cls.from_dict(data)
        except UserError as error:
            raise UserError(f"cannot read {file}: {error.reason}") from error


@dataclass(frozen=True, kw_only=True)
class ProbeOutcome:
    """What a run that is a probe has beside a trained one: its record, metrics and intervals."""

    record: ProbeRecord
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, Interval]
