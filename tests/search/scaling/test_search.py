"""The search for the constants of compound scaling, from end to end on real images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.recipes import bare_recipe, tiny_recipe
from tests.builders.studies import LimitedExecutor
from trickbag.errors import UserError
from trickbag.search.log import SearchLog
from trickbag.search.scaling.grid import grids
from trickbag.search.scaling.search import ScalingSearch


@pytest.fixture(scope="module")
def search(pictures: Path) -> ScalingSearch:
    return ScalingSearch(recipe=tiny_recipe(pictures, epochs=1), trials=6, folds=2)


@pytest.mark.slow
def test_a_search_leaves_the_best_constants_and_their_family(
    search: ScalingSearch, tmp_path: Path
) -> None:
    result = search.run(LimitedExecutor(), tmp_path, log=SearchLog())
    assert [c.suggestion for c in result.candidates[:3]] == list(grids()[0].points[:3])
    scaling = json.loads((tmp_path / "scaling.json").read_text())
    rewards = {c.trial.label: c.reward for c in result.candidates}
    best = scaling["best"]
    assert best["top1"] == max(reward for reward in rewards.values() if reward is not None)
    label = ", ".join(f"{name} {best[name]:g}" for name in ("alpha", "beta", "gamma"))
    assert rewards[label] == best["top1"]
    rows = json.loads((tmp_path / "candidates.json").read_text())["candidates"]
    base, first, *_ = scaling["family"]
    assert (base["phi"], base["depth"], first["phi"]) == (0, 1, 1)
    assert all(member["throughput"] > 0 for member in scaling["family"])
    # A point of the grid has about twice the work of the network as it is.
    assert all(1.3 < row["macs"] / base["macs"] < 2.9 for row in rows)
    (same,) = [row for row in rows if row["label"] == label]
    assert (same["macs"], same["params"]) == (first["macs"], first["params"])
    for row in rows:
        run = json.loads((tmp_path / "trials" / row["trial"] / "recipe.json").read_text())
        assert run["resolved"]["image_size"] == row["image_size"]
        result = json.loads((tmp_path / "trials" / row["trial"] / "result.json").read_text())
        assert result["metrics"]["params"] == row["params"]
        assert result["metrics"]["macs"] == row["macs"]


def test_what_cannot_be_searched_is_refused(search: ScalingSearch, pictures: Path) -> None:
    with pytest.raises(UserError, match="5 trials are too few: the coarsest grid"):
        replace(search, trials=5)
    with pytest.raises(UserError, match=r"cannot be scaled.*--model"):
        replace(search, recipe=bare_recipe(pictures))
