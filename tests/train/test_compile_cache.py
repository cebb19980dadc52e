"""Runs of one process compile once for all seeds, and have the weights of separate runs."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from tests.builders.recipes import tiny_recipe
from tests.builders.runs import assert_same_run
from trickbag.train.compile_cache import CompileCache
from trickbag.train.fit import fit


@pytest.fixture(autouse=True)
def _quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with the backend that generates no code; it captures the same graphs."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    torch.compiler.reset()
    counters.clear()


def graphs() -> int:
    return int(counters["stats"]["unique_graphs"])


@pytest.mark.slow
def test_seeds_share_what_is_compiled(pictures: Path, tmp_path: Path) -> None:
    full = tiny_recipe(pictures, epochs=1, training__compile="on")
    variants = {"full": full, "-mixup": full.without("mixup")}
    compile_cache, captured = CompileCache(), []
    for seed in (0, 1):
        for label, variant in variants.items():
            fit(variant, seed, tmp_path / "shared" / f"{label}-{seed}", compile_cache=compile_cache)
            captured.append(graphs())
    assert captured[0] >= 1
    assert captured[1] > captured[0]
    assert captured[2:] == [captured[1]] * 2, "a second seed compiled again"
    for seed in (0, 1):
        for label, variant in variants.items():
            fit(variant, seed, tmp_path / "alone" / f"{label}-{seed}")
            assert_same_run(
                tmp_path / "shared" / f"{label}-{seed}", tmp_path / "alone" / f"{label}-{seed}"
            )


@pytest.mark.slow
def test_many_variants_in_one_process(pictures: Path, tmp_path: Path) -> None:
    # The compiler refuses after 8 versions of one function, and counts those of another run apart.
    small = (
        tiny_recipe(pictures, epochs=1, training__compile="on").on("timm:resnet10t").only("warmup")
    )
    compile_cache = CompileCache()
    for i in range(10):
        result = fit(
            small.set("training.lr", str(0.1 + i / 100)),
            0,
            tmp_path / str(i),
            compile_cache=compile_cache,
        )
        assert result.error is None
