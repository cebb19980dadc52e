"""Memory that runs out, wherever it does, is one line that says what to do, and exit code 1."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.builders.recipes import tiny_recipe
from trickbag.cli import COMMANDS, main
from trickbag.errors import RunFailed, UserError, memory_failure
from trickbag.study.executors.trial_end import error_text
from trickbag.train import fit as fit_module
from trickbag.train.fit import fit

if TYPE_CHECKING:
    from pathlib import Path


def no_memory_in_torch() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    return caught.value


def no_memory_in_numpy() -> MemoryError:
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, np.uint8)
    return caught.value


NO_MEMORY = [
    MemoryError(),
    no_memory_in_torch(),
    no_memory_in_numpy(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nSee the docs"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("std::bad_alloc"),
    OSError(12, "Cannot allocate memory"),
]
OTHER = [RuntimeError("shapes differ"), OSError(2, "No such file"), UserError("out of memory")]


@pytest.mark.parametrize("error", NO_MEMORY, ids=repr)
def test_memory_that_runs_out_is_a_failure_of_the_run(error: Exception) -> None:
    failure = memory_failure(error, "while it trained")
    assert isinstance(failure, RunFailed)
    assert str(failure).startswith("the memory ran out while it trained: ")
    assert "smaller batch" in failure.way_out
    assert "\n" not in str(failure)
    assert error_text(error).startswith("the memory ran out: ")


@pytest.mark.parametrize("error", OTHER, ids=repr)
def test_other_errors_are_none(error: Exception) -> None:
    assert memory_failure(error) is None


COMMAND_LINES = {
    "train": [],
    "probe": ["--model", "x"],
    "transfer": ["detection", "--data", "x"],
    "evaluate": ["x"],
    "predict": ["x", "y"],
    "study": [],
    "report": ["x"],
    "show": [],
    "list": ["tricks"],
    "doctor": ["x"],
    "pack": ["x", "--out", "x.arrow"],
    "blend": ["x", "y", "--out", "x.json"],
    "soup": ["x", "y", "--out", "x.safetensors"],
    "export": ["x", "--format", "torch"],
    "new": ["trick", "x"],
    "bench": ["train"],
    "search": ["scaling", "--trials", "6"],
    "verify": ["small"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_it_in_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: Any) -> int:
        raise NO_MEMORY[1]

    monkeypatch.setattr(importlib.import_module(f"trickbag.cli.{command}"), "run", run)
    assert main([command, *COMMAND_LINES[command]]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"trickbag {command}: the memory ran out: ")
    assert error.count("\n") == 1


def test_a_run_without_memory_fails_and_gives_its_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(fit_module._Call, "fit", train)
    with pytest.raises(RunFailed, match="the memory ran out: CUDA out of memory; take a smaller"):
        fit(tiny_recipe("digits"), 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()
