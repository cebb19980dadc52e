"""What the shipped recipes state: tied to the results that are kept, and to the papers' tables."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from trickbag.recipes import RECIPES
from trickbag.recipes.stated import PUBLISHED, MeasuredResult, PublishedResult, stated_results
from trickbag.report.study.published import CHAINS

ROOT = Path(__file__).parents[2]

NONE_MEASURED = {"detection", "fixres", "segmentation"} | (
    set() if (ROOT / "benchmarks" / "results" / "finetune.json").is_file() else {"finetune"}
)
"""They have no figure of a paper that trains as they do."""


def measured(*values: float) -> MeasuredResult:
    (digits, *_) = stated_results("small")
    assert isinstance(digits, MeasuredResult)
    return MeasuredResult(**{**vars(digits), "values": values, "value": float(np.mean(values))})


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_states_a_result(name: str) -> None:
    results = stated_results(name)
    assert bool(results) == (name not in NONE_MEASURED)
    text = " ".join((inspect.getdoc(RECIPES[name]) or "").split())
    for result in results:
        assert json.loads(json.dumps(result.to_dict()))["metric"] == "top1"
        if isinstance(result, PublishedResult):
            # The figure of the recipe's own docstring, for as many epochs as it trains.
            assert f"{result.value:.2f} %" in text
            assert result.epochs == RECIPES[name]().training.epochs
            assert "not measured here" in result.text
    assert set(PUBLISHED) <= set(RECIPES)


def test_the_ladders_figures_are_those_of_the_papers_table() -> None:
    (chain,) = (c for c in CHAINS if (c.paper, c.network) == ("Lee et al. 2020", "ResNet-50"))
    published = {result.value for results in PUBLISHED.values() for result in results}
    assert {step.top1 for step in chain.steps} <= published


def test_the_file_is_what_the_results_say() -> None:
    code = "import stated; assert stated.FILE.read_text() == stated.text(), 'stale'"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run python benchmarks/stated.py\n{done.stderr}"


def test_the_intervals_are_those_of_the_values() -> None:
    for result in stated_results("small"):
        assert isinstance(result, MeasuredResult)
        interval = stats.ttest_1samp(result.values, 0).confidence_interval(0.95)
        assert result.value == pytest.approx(np.mean(result.values), rel=1e-12)
        assert (result.low, result.high) == pytest.approx(tuple(interval), rel=1e-9)


def test_the_interval_of_one_run_is_that_of_the_t_test_of_two_samples() -> None:
    result = measured(90.0, 91.5, 92.0, 90.5)
    for end in result.prediction_interval(1):
        # Of one new value the pooled spread is that of the stated ones.
        assert stats.ttest_ind(result.values, [end]).pvalue == pytest.approx(0.05, rel=1e-9)
    widths = [high - low for low, high in map(result.prediction_interval, (1, 2, 4, 100))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > result.high - result.low
    assert measured(99.0, 100.0).prediction_interval(1)[1] == 100.0


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_the_interval_holds_new_means_at_its_level(seeds: int) -> None:
    rng = np.random.default_rng(0)
    holds = 0
    for _ in range(600):
        low, high = measured(*rng.normal(50, 2, 5).tolist()).prediction_interval(seeds)
        holds += low <= rng.normal(50, 2, seeds).mean() <= high
    # 600 draws of 0.95: the standard error is 0.9 points.
    assert holds / 600 == pytest.approx(0.95, abs=0.03)
