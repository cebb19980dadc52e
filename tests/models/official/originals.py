"""Reference outputs of the original TensorFlow networks and layers.

They lie outside of the repository; a test that needs them is skipped where they are missing.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

SPEC = Path(__file__).resolve().parents[4] / "shared" / "spec"
VECTORS = SPEC / "vectors"
VECTOR_NAMES = [
    "resnet50",
    "resnet50_aa",
    "resnet50_bl",
    "resnet50_d_se",
    "resnet50_sk",
    "assemble50",
    "assemble50_256",
]
"""The networks whose outputs on one image there are."""

__all__ = ["VECTOR_NAMES", "generator", "tensor", "vector"]


def vector(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the facts about a run of the original code, and its arrays."""
    if not (VECTORS / f"{name}.json").is_file():
        pytest.skip("needs the reference outputs of the original networks, ../shared/spec/vectors")
    with np.load(VECTORS / f"{name}.npz") as arrays:
        return json.loads((VECTORS / f"{name}.json").read_text()), dict(arrays)


def generator() -> Any:
    """Return the module that computes reference weights from their names, and input images."""
    path = SPEC / "reference_weights.py"
    if not path.is_file():
        pytest.skip("needs ../shared/spec/reference_weights.py")
    spec = importlib.util.spec_from_file_location("reference_weights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
