"""Plain data of a file, with any one value taken out or replaced by one of another type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["OTHER_VALUES", "places", "variations", "with_value"]

Path = tuple[Any, ...]

OTHER_VALUES: dict[str, Any] = {
    "missing": ...,
    "null": None,
    "text": "x",
    "list": [[1], "x"],
    "object": {"x": 1},
    "kind": {"kind": []},
    "negative": -1,
    "huge": 10**300,
    "true": True,
    "NaN": float("nan"),
    "infinite": float("inf"),
}
"""Values by name; `...` takes the value out."""


def places(data: Any, path: Path = (), depth: int = 3) -> list[Path]:
    """Return the path of every value, to a depth; of lists the first two."""
    if depth == 0 or not isinstance(data, dict | list):
        return []
    items = data.items() if isinstance(data, dict) else enumerate(data[:2])
    return [
        place
        for key, value in items
        for place in [(*path, key), *places(value, (*path, key), depth - 1)]
    ]


def with_value(data: Any, path: Path, value: Any) -> Any:
    """Copy what leads to a place, and change the value there."""
    key, *rest = path
    changed = list(data) if isinstance(data, list) else dict(data)
    if rest:
        changed[key] = with_value(data[key], tuple(rest), value)
    elif value is ...:
        del changed[key]
    else:
        changed[key] = value
    return changed


def variations(data: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Yield the data with each value changed in each way, and a name of the change."""
    for path in places(data, depth=depth):
        for name, value in OTHER_VALUES.items():
            yield f"{'.'.join(map(str, path))} {name}", with_value(data, path, value)
