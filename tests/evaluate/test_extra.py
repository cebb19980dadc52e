"""The table of evaluations whose metrics can be a study's outcome."""

from __future__ import annotations

import importlib
import importlib.util

import pytest

from trickbag.evaluate.extra import EXTRA, extra_of
from trickbag.metrics.metric import EVALUATED, MEASURED_APART, METRICS, PREFIXES, metric
from trickbag.study.analysis.outcomes import OUTCOMES


def test_each_metric_is_of_one_evaluation_and_an_outcome() -> None:
    given = [name for extra in EXTRA.values() for name in extra.metrics]
    assert sorted(given) == sorted(MEASURED_APART)
    for name in given:
        assert name in METRICS
        assert OUTCOMES[name] == MEASURED_APART[name].better
        assert MEASURED_APART[name].unit == ("" if name == "mean_top5_distance" else "%")
        assert all(metric(f"{prefix}{name}") is None for prefix in PREFIXES)
        evaluation = extra_of(name)
        assert evaluation is not None
        assert name in EXTRA[evaluation].metrics
    assert all(extra_of(name) is None for name in EVALUATED)


@pytest.mark.parametrize("name", EXTRA)
def test_the_functions_are_there(name: str) -> None:
    module, _, function = EXTRA[name].function.partition(":")
    package = module.rpartition(".")[0]
    try:
        there = importlib.util.find_spec(package) and importlib.util.find_spec(module)
    except ModuleNotFoundError:
        there = None
    if not there:
        pytest.skip(f"{module} is not there yet")
    assert callable(getattr(importlib.import_module(module), function))
