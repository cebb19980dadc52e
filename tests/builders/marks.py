"""Cases of a table that are left to the long tests."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["long"]


def long(*values: object) -> Any:
    """Return a case, of a value for each name, that `make long-test` runs alone."""
    return pytest.param(*values, marks=pytest.mark.long)
