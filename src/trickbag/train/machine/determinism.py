"""Algorithms of torch that compute the same bits whenever they run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from trickbag.errors import RunFailed, TrickbagError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["determinism_failure", "deterministic_algorithms"]

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""The variable that fixes the memory in which cuBLAS works; torch demands it."""


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Let torch, cuDNN, cuBLAS and compiled kernels compute the same bits in each run of the block.

    Kernels are then not chosen by a measurement. An operation that has no such algorithm raises a
    RuntimeError, which `determinism_failure` recognises. All settings are as before after the
    block. If it is not wanted nothing is changed.
    """
    if not wanted:
        yield
        return
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    measures = torch.backends.cudnn.benchmark
    # torch reads the variable when cuBLAS first needs memory, and demands one of two values.
    with _variable(_WORKSPACE, ":4096:8"):
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = measures
            torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment for the block, unless it has a value."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def determinism_failure(error: BaseException) -> RunFailed | None:
    """Return the failure to report where an operation has no deterministic algorithm, else None."""
    # torch has no type of error for it.
    text = "does not have a deterministic implementation"
    if isinstance(error, TrickbagError) or text not in str(error):
        return None
    return RunFailed(
        f"training.deterministic = True: {first_line(error)}",
        "--set training.deterministic=false, or take out what needs the operation",
    )
