"""The memory that a process may use is the machine's, or a container's limit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
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


FAULTS = """
import resource
import numpy as np
from trickbag.memory import keep_freed_memory

print(keep_freed_memory() if {keep} else None)

def blocks():  # of 24 MB, which glibc gives back and maps anew unless it is told not to
    return [np.ones(3 * 2**20) for _ in range(3)]

blocks()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    blocks()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: bool, **variables: str) -> tuple[str, int]:
    """Return what `keep_freed_memory` says, and the pages that a loop fetches from the kernel."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    code = FAULTS.format(keep=keep)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    answer, faults = done.stdout.split()
    return answer, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_freed_memory_is_kept() -> None:
    answer, faults = page_faults(keep=True)
    assert answer == "True"
    assert faults < 0.1 * page_faults(keep=False)[1]


def test_what_the_environment_sets_stays() -> None:
    assert page_faults(keep=True, MALLOC_TRIM_THRESHOLD_="1000000")[0] == "False"
