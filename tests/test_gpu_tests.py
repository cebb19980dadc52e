"""The tests of a GPU, on a machine that has none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device: they run")
def test_each_is_skipped_with_the_reason(tmp_path: Path) -> None:
    marked = [str(p) for p in sorted(TESTS.rglob("test_*.py")) if "mark.gpu" in p.read_text()]
    assert len(marked) > 5
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *marked],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.splitlines()[-1]
    ends = set(re.findall(r"\d+ ([a-z]+)", last.partition(" in ")[0]))
    assert ends == {"skipped", "deselected"}, done.stdout[-2000:]
    reasons = re.findall(r"^SKIPPED \[\d+\] .*?: (.*)$", done.stdout, re.MULTILINE)
    assert set(reasons) == {"there is no CUDA device"}
