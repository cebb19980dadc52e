"""A search from end to end: what it leaves, how it goes on, how it keeps its time."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.builders.recipes import tiny_recipe
from tests.builders.studies import LimitedExecutor
from tests.search.rates import Bracketing, RateSearch
from trickbag.errors import RunFailed, Stopped, UserError
from trickbag.search.budget import Budget
from trickbag.search.folder import SearchFolder
from trickbag.search.log import SearchLog
from trickbag.search.search import SearchResult
from trickbag.study.executors import Task
from trickbag.study.executors.trial_end import failed_result
from trickbag.study.result_lines import read_results
from trickbag.study.trial import Trial
from trickbag.train.folder.result import Result


@pytest.fixture(scope="module")
def search(pictures: Path) -> RateSearch:
    return RateSearch(recipe=tiny_recipe(pictures, epochs=1), trials=5, folds=2)


@pytest.fixture(scope="module")
def finished(search: RateSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The search, undisturbed; read only."""
    out = tmp_path_factory.mktemp("whole") / "search"
    run(search, out)
    return out


def run(search: RateSearch, out: Path, executor: Any = None) -> SearchResult:
    return search.run(executor or LimitedExecutor(), out, log=SearchLog())


def tried(out: Path) -> list[tuple[str, float | None]]:
    results, _ = read_results(SearchFolder(out).results)
    return [(result.label, result.metrics.get("top1")) for result in results]


def test_what_a_search_leaves(finished: Path) -> None:
    record = json.loads((finished / "search.json").read_text())
    assert (record["search"], record["trials"], record["planned"]) == ("scaling", 5, 5)
    assert (record["folds"], record["epochs"], record["pilot"]) == (2, 1, None)
    assert record["spent_s"] > 0
    rows = tried(finished)
    assert len(rows) == 5
    best = max(top1 for _, top1 in rows if top1 is not None)
    assert json.loads((finished / "best.json").read_text())["top1"] == best
    assert not (finished / "decoded").exists()
    for folder in (finished / "trials").iterdir():
        assert not (folder / "last.ckpt").exists()
        assert not (folder / "best.safetensors").exists()
        recipe = json.loads((folder / "recipe.json").read_text())
        assert (recipe["data"]["inner_folds"], recipe["data"]["inner_fold"]) == (2, 0)


def test_the_controller_is_told_in_the_order_of_the_trials(finished: Path) -> None:
    controller, rates = Bracketing(), []
    rows = dict(tried(finished))
    while len(rates) < 5:
        suggested = controller.suggest()
        rates += suggested
        controller.tell([rows.get(f"rate {rate:g}") for rate in suggested])
    assert [label for label, _ in tried(finished)] == [f"rate {rate:g}" for rate in rates[:5]]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_stopped_search_goes_on_to_the_same_end(
    search: RateSearch, finished: Path, tmp_path: Path, limit: int
) -> None:
    out = tmp_path / "search"
    with pytest.raises(Stopped, match=rf"goes on in {out}"):
        run(search, out, LimitedExecutor(limit))
    assert json.loads((out / "search.json").read_text())["trials"] is None
    rest = LimitedExecutor()
    run(search, out, rest)
    assert len(rest.ran) == 5 - limit
    assert tried(out) == tried(finished)
    assert (out / "best.json").read_bytes() == (finished / "best.json").read_bytes()


def test_a_finished_search_runs_nothing_and_more_trials_extend_it(
    search: RateSearch, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "search"
    shutil.copytree(finished, out)
    again = LimitedExecutor()
    assert len(run(search, out, again).candidates) == 5
    assert again.ran == []
    result = run(replace(search, trials=6), out, again)
    assert (len(again.ran), result.record.trials) == (1, 6)


@dataclass
class Answering(LimitedExecutor):
    """Answers at once by the rate; fails the first trials, so many times; takes batches in turn."""

    failures: int = 0
    backwards: bool = False
    clock: list[float] = field(default_factory=lambda: [0.0])
    trial_s: float = 1.0

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        for trial in trials[:: -1 if self.backwards else 1]:
            self.ran.append(trial.label)
            self.clock[0] += self.trial_s
            if self.failures:
                self.failures -= 1
                yield failed_result(trial, "no memory")
                continue
            lr = trial.recipe.training.lr
            metrics: dict[str, float | int | None] = {"top1": 100 - abs(math.log2(lr / 0.3))}
            yield Result(trial=trial.id, label=trial.label, seed=trial.seed, metrics=metrics)


def test_the_order_of_the_results_makes_no_difference(search: RateSearch, tmp_path: Path) -> None:
    result = run(search, tmp_path / "one", Answering())
    again = run(search, tmp_path / "other", Answering(backwards=True))
    assert again.candidates == result.candidates
    assert tried(tmp_path / "other") != tried(tmp_path / "one")
    assert sorted(tried(tmp_path / "other")) == sorted(tried(tmp_path / "one"))


def test_a_trial_that_failed_is_tried_again_and_then_has_no_reward(
    search: RateSearch, tmp_path: Path
) -> None:
    few = replace(search, trials=2, retries=1)
    result = run(few, tmp_path / "again", Answering(failures=1))
    assert all(candidate.reward is not None for candidate in result.candidates)
    result = run(few, tmp_path / "lost", Answering(failures=3))
    assert [candidate.reward is None for candidate in result.candidates] == [True, False]
    with pytest.raises(RunFailed, match="all 2 trials failed, the last one: no memory"):
        run(few, tmp_path / "all", Answering(failures=4))


def test_a_torn_line_costs_its_trial_alone(
    search: RateSearch, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "search"
    shutil.copytree(finished, out)
    data = (out / "results.jsonl").read_bytes()
    (out / "results.jsonl").write_bytes(data[:-20])
    again = LimitedExecutor()
    run(search, out, again)
    assert len(again.ran) == 1
    assert tried(out) == tried(finished)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 1}, "seed = 0, not 1"),
        ({"folds": 3}, "folds = 2, not 3"),
        ({"epochs": 2}, "epochs = 1, not 2"),
        ({"most": 9}, r"settings\.most = None, not 9"),
    ],
)
def test_another_search_is_refused(
    search: RateSearch, finished: Path, change: dict[str, int], says: str
) -> None:
    before = (finished / "search.json").read_bytes()
    with pytest.raises(UserError, match=f"holds a search with {says}"):
        run(replace(search, **change), finished)
    assert (finished / "search.json").read_bytes() == before


def test_a_grid_ends_with_its_last_point(search: RateSearch, tmp_path: Path) -> None:
    result = run(replace(search, trials=9, most=3), tmp_path, Answering())
    assert (len(result.candidates), result.record.trials) == (3, 3)


def test_a_search_ends_where_nothing_new_is_suggested(
    search: RateSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bracketing, "suggest", lambda self: [0.1, 0.2])
    result = run(replace(search, trials=1000), tmp_path, ran := Answering())
    assert len(ran.ran) == 2
    assert len(result.candidates) == 2 * 21


@pytest.mark.parametrize(("thought_s", "trial_s"), [(10, 10), (10, 13), (10, 6), (10, 35)])
def test_the_time_is_kept_though_trials_take_longer_or_shorter_than_thought(
    search: RateSearch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    thought_s: float,
    trial_s: float,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("trickbag.search.search.Budget", partial(Budget, now=lambda: clock[0]))
    monkeypatch.setattr(
        "tests.search.rates.RateObjective.seconds", lambda self: (0.0, float(thought_s))
    )
    timed = replace(search, trials=None, budget_s=200.0, epochs=1)
    result = run(timed, tmp_path / "timed", Answering(clock=clock, trial_s=trial_s))
    assert 200 - trial_s < clock[0] <= 200 + trial_s
    assert (result.record.planned, result.record.pilot is not None) == (20, True)
    assert result.record.trials == len(result.candidates) == int(clock[0] / trial_s)
    # With this number of trials the search is repeated.
    repeated = replace(search, trials=len(result.candidates), epochs=1)
    again = run(repeated, tmp_path / "repeated", Answering())
    assert [c.suggestion for c in again.candidates] == [c.suggestion for c in result.candidates]
    # And without more time the same call runs nothing, be the last trials ever so fast.
    rest, file = Answering(clock=clock, trial_s=trial_s), tmp_path / "timed" / "search.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"trial_s": 0.1, "spent_s": 150.0}))
    assert run(timed, tmp_path / "timed", rest).record.trials == result.record.trials
    assert rest.ran == []
    longer = run(replace(timed, budget_s=200 + 3.5 * trial_s), tmp_path / "timed", rest)
    assert rest.ran
    assert longer.record.trials == result.record.trials + len(rest.ran)


def test_a_time_that_is_too_short_says_which_is_not(search: RateSearch, tmp_path: Path) -> None:
    timed = replace(search, trials=None, budget_s=0.001)
    with pytest.raises(UserError, match=r"too short for one trial.*give .* at least"):
        run(timed, tmp_path / "search")
    assert not (tmp_path / "search" / "search.json").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trials": None}, "give one of trials and budget"),
        ({"budget_s": 60.0}, "give one of trials and budget"),
        ({"trials": 0}, "trials = 0: must be at least 1"),
        ({"folds": 1}, "folds = 1: must be from 2 to 100"),
        ({"epochs": 0}, "epochs = 0: must be at least 1"),
        ({"retries": -1}, "retries = -1"),
    ],
)
def test_values_that_cannot_be_are_refused(
    search: RateSearch, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        replace(search, **change)


def test_too_few_images_for_the_folds_are_refused(search: RateSearch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"class '.*' has \d+ training images, too few for 20"):
        run(replace(search, folds=20), tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("planned", "many", r"search\.json\.planned = 'many'"),
        ("recipe", 3, r"searchrecord\.recipe = 3: must be a JSON object"),
        ("settings", [1], r"searchrecord\.settings = \[1\]"),
        ("search", "policy", r"search\.json\.search = 'policy'"),
    ],
)
def test_a_damaged_record_is_named(
    search: RateSearch, finished: Path, tmp_path: Path, key: str, value: object, says: str
) -> None:
    out = tmp_path / "search"
    shutil.copytree(finished, out)
    record = json.loads((out / "search.json").read_text())
    (out / "search.json").write_text(json.dumps(record | {key: value}))
    with pytest.raises(UserError, match=rf"cannot read .*{says}"):
        run(search, out)
