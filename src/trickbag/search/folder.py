"""A search's folder: its files, and who may write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.files import read_json_object, write_json
from trickbag.paths import exists
from trickbag.search.record import SearchRecord
from trickbag.settings import plain, read
from trickbag.study.driver_lock import driver_lock
from trickbag.study.folder import StudyFolder

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from trickbag.errors import Note
    from trickbag.train.folder.caller import Caller

__all__ = ["SearchFolder"]


@dataclass(frozen=True)
class SearchFolder:
    """The files of one search. The driver that holds the lock is their only writer."""

    path: Path

    @property
    def search(self) -> Path:
        """What is searched, and how far it has come."""
        return self.path / "search.json"

    @property
    def results(self) -> Path:
        """A line for each result of a trial, in the order in which they came in."""
        return self.path / "results.jsonl"

    @property
    def trials(self) -> Path:
        """The trials' own folders, by id."""
        return self.path / "trials"

    @property
    def decoded(self) -> Path:
        """Decoded images that the trials share while the search runs."""
        return self.path / "decoded"

    @property
    def candidates(self) -> Path:
        """What was suggested, in order, with the rewards."""
        return self.path / "candidates.json"

    @property
    def policy(self) -> Path:
        """The best policy so far."""
        return self.path / "policy.json"

    @property
    def scaling(self) -> Path:
        """The best constants of compound scaling so far, and the networks that they give."""
        return self.path / "scaling.json"

    @property
    def random(self) -> SearchFolder:
        """The folder of the random search that the result is compared with."""
        return SearchFolder(self.path / "random")

    @property
    def comparison(self) -> StudyFolder:
        """The folder of the study that compares the result."""
        return StudyFolder(self.path / "comparison")

    @property
    def holds_search(self) -> bool:
        """Whether a search was started in the folder."""
        return exists(self.search)

    def locked(self, caller: Caller) -> AbstractContextManager[Note | None]:
        """Be the folder's only driver meanwhile, as `driver_lock` does."""
        return driver_lock(self.path, "search", caller, started=self.holds_search)

    def read_search(self) -> SearchRecord | None:
        """Read `search.json`; None where there is none, UserError where it is damaged."""
        data = read_json_object(self.search)
        if data is None:
            return None
        try:
            return read(SearchRecord, data, str(self.search))
        except UserError as error:
            raise UserError(f"cannot read {error.reason}") from error

    def write_search(self, record: SearchRecord) -> None:
        """Write `search.json`."""
        write_json(self.search, plain(record))
