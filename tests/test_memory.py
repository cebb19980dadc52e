"""The memory that a process may use is the machine's, or a container's limit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from trickbag import memory
from trickbag.memory import usable_memory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "expected"), [(None, 2**30), ("max\n", 2**30), ("4096\n", 4096), (f"{2**62}\n", 2**30)]
)
def test_a_containers_limit_counts(
    text: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**18}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    file = tmp_path / "memory.max"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (file, tmp_path / "absent"))
    assert usable_memory() == expected


def test_a_system_that_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (tmp_path / "absent",))
    assert usable_memory() == memory.UNKNOWN_MEMORY
