"""The parts of the GPU check in their form for a CPU, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders.marks import long

ROOT = Path(__file__).parents[2]


def checked(*arguments: str) -> dict[str, dict[str, Any]]:
    """Return what each part came to."""
    # No test is about real time: an hour for what takes a minute.
    command = ["benchmarks/gpu_check.py", "--tiny", "--device", "cpu", "--minutes", "60"]
    done = subprocess.run(
        [sys.executable, *command, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = {}
    for line in done.stdout.splitlines():
        outcome = json.loads(line)
        outcomes[outcome["part"]] = outcome
    failed = [part for part, outcome in outcomes.items() if outcome["error"] is not None]
    assert done.returncode == (1 if failed else 0), done.stderr
    return outcomes


@pytest.mark.slow
def test_the_parts_run_on_a_cpu() -> None:
    parts = ("resume", "table", "precisions", "tests")
    outcomes = checked(*(word for part in parts for word in ("--only", part)))
    assert set(outcomes) == set(parts)
    assert [outcome["error"] for outcome in outcomes.values()] == [None] * 4
    for row in outcomes["resume"]["rows"]:
        assert row["stopped"]
        assert row["again"]["same_bits"]
        assert row["resumed"]["same_bits"]
    assert {row["deterministic"] for row in outcomes["resume"]["rows"]} == {True, False}
    precisions = {row["precision"]: row for row in outcomes["precisions"]["rows"]}
    assert list(precisions) == ["float32", "TF32", "bf16", "fp16"]
    assert all(row["loss_falls"] for row in precisions.values())
    # On a CPU there is no TF32, and the other precisions round.
    assert precisions["TF32"]["distance"] == 0 < precisions["bf16"]["distance"]
    rows = {row["row"]: row for row in outcomes["table"]["rows"]}
    assert list(rows) == ["low", "float32", "TF32"]
    # Three times the forward pass of ResNet-18: 1.814 G multiply-adds at 224 px, 49 times as many
    # as at 32 px; the head is a matrix product of 512 x 10, whatever the size.
    head = 3 * 2 * rows["float32"]["batch"] * 512 * 10
    expected = 3 * 2 * rows["float32"]["batch"] * (1.814e9 - 512e3) / 49 + head
    assert rows["float32"]["tflop"] * 1e12 == pytest.approx(expected, rel=0.03)
    for row in rows.values():
        # The peak that is the lower one limits each operation. How near a step comes to the bound
        # is a matter of time: on a busy machine peaks can be measured too low.
        times = row["tflop"] / row["peak_tflop_per_s"], row["gb"] / row["peak_gb_per_s"]
        assert max(times) <= row["bound_s"] * (1 + 1e-9)
        assert row["bound_s"] <= sum(times) * (1 + 1e-9)
        step_s = row["batch"] / row["images_per_s"]["ours"]
        assert row["fraction_of_bound"] == pytest.approx(row["bound_s"] / step_s)
    (tests,) = outcomes["tests"]["rows"]
    assert tests["finished"]
    assert (tests["failed"], tests["error"], tests["reasons"]) == (0, 0, [])
    assert tests["passed"] + tests["skipped"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", [long("compiled"), long("cuda_graphs"), long("study")])
def test_the_parts_that_take_minutes_run_on_a_cpu(part: str) -> None:
    outcome = checked("--only", part)[part]
    assert outcome["error"] is None
    rows = outcome["rows"]
    if part == "study":
        assert [row["workers"] for row in rows] == [1, 2]
        assert all(set(row["trials"]) == {"full", "-label_smoothing"} for row in rows)
        assert all(row["errors"] == [] for row in rows)
    else:
        assert all(row["distance"] < 0.2 for row in rows)
        assert all(row["last_loss"] < row["first_loss"] for row in rows)


@pytest.mark.slow
def test_a_part_that_fails_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcomes = checked(str(tmp_path / "empty"), "--only", "resume", "--only", "precisions")
    assert set(outcomes) == {"resume", "precisions"}
    for outcome in outcomes.values():
        assert "no image" in outcome["error"] or "no class" in outcome["error"]
        assert outcome["rows"] == []
