"""The exit code of a study in which trials failed: 0 only where every effect could be given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.study.synthetic_study import MODEL, factorial_layout, leave_one_out, runs
from trickbag.cli.study import _warn_of_failures
from trickbag.study.analysis.effects import effects
from trickbag.study.designs.layout import Layout
from trickbag.study.findings import Findings

TWO = ("a", "b")
PLAIN = leave_one_out(TWO)


def findings_of(
    layout: Layout, values: dict[str, list[float]], failed: dict[str, list[int]]
) -> Findings:
    """What a study finds whose trials of some variants and seeds failed."""
    cells = runs(values)
    rows: list[dict[str, Any]] = []
    for (model, label), by_seed in cells.items():
        for seed in failed.get(label, []):
            del by_seed[seed]
            names = {"label": label, "model": model, "seed": seed, "trial": "0a"}
            rows.append(names | {"error": "the disk is full"})
        rows += [
            {"label": label, "model": model, "seed": seed, "trial": "0b", "error": None}
            for seed in by_seed
        ]
    return Findings(effects=tuple(effects([layout], cells, {})), results=rows, folder=Path("study"))


def seeds(count: int, *labels: str) -> dict[str, list[float]]:
    return {
        label: [90.0 + i + (seed * (i + 2)) % 5 for seed in range(count)]
        for i, label in enumerate(labels)
    }


THREE = ("full", "-a", "-b")


@pytest.mark.parametrize(
    ("layout", "values", "failed", "missing"),
    [
        (PLAIN, seeds(3, *THREE), {}, []),
        (PLAIN, seeds(1, *THREE), {}, []),
        (PLAIN, seeds(3, *THREE), {"-a": [1]}, []),
        (PLAIN, seeds(2, *THREE), {"-a": [1]}, ["a"]),
        (PLAIN, seeds(3, *THREE), {"-a": [0, 1, 2]}, ["a"]),
        (PLAIN, seeds(1, *THREE), {"full": [0]}, ["a", "b"]),
        (PLAIN, seeds(2, *THREE), {"full": [0], "-b": [1]}, ["a", "b"]),
        (
            leave_one_out(TWO, reasons={"-a": "no slot"}),
            seeds(3, "full", "-b"),
            {"-b": [0]},
            [],
        ),
        (
            factorial_layout(TWO),
            seeds(3, "-a-b", "+a-b", "-a+b", "+a+b"),
            {"+a+b": [0, 1, 2]},
            ["a", "b", "a*b"],
        ),
        (factorial_layout(TWO), seeds(3, "-a-b", "+a-b", "-a+b", "+a+b"), {"+a+b": [0]}, []),
    ],
)
def test_effects_that_could_not_be_given(
    layout: Layout,
    values: dict[str, list[float]],
    failed: dict[str, list[int]],
    missing: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    findings = findings_of(layout, values, failed)
    assert findings.missing == missing
    assert _warn_of_failures(findings, sharded=False) == bool(missing)
    err = capsys.readouterr().err
    assert err.count("\n") == bool(failed)
    assert ("too few are left for the effects of" in err) == bool(missing)
    # What the other shards bring is not known.
    assert _warn_of_failures(findings, sharded=True) == bool(failed)
    assert MODEL not in ", ".join(findings.missing)
