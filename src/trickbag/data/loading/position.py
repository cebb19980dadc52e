"""Where in a scaled image a crop lies."""

from __future__ import annotations

__all__ = ["CENTRE", "Position"]

Position = tuple[float, float]
"""By rows and by columns: from 0, top or left, to 1."""

CENTRE: Position = (0.5, 0.5)
