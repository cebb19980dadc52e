"""Cases of a table that are left to the long tests."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["long"]


def long(value: object) -> Any:
    """Return a case that `make long-test` runs alone."""
    return pytest.param(value, marks=pytest.mark.long)
