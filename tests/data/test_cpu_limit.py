"""The processor time of a control group, in both versions, in containers and beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from trickbag.data import cores
from trickbag.data.cores import usable_cores
from trickbag.data.cpu_limit import CpuLimit, cpu_limit


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def limit_of(tmp_path: Path, groups: str, files: dict[str, str]) -> CpuLimit | None:
    own_groups = tree(tmp_path, {"own": groups}) / "own"
    return cpu_limit(tree(tmp_path / "fs", files), own_groups)


@pytest.mark.parametrize(
    ("groups", "files", "limit", "used_s"),
    [
        # Version 2: a container sees its own group as the root.
        (
            "0::/\n",
            {"cpu.max": "150000 100000\n", "cpu.stat": "usage_usec 2500000\nuser_usec 1\n"},
            1.5,
            2.5,
        ),
        # The tightest of the groups around a process counts, with the time of its processes.
        (
            "0::/a/b\n",
            {
                "a/b/cpu.max": "max 100000\n",
                "a/cpu.max": "200000 100000\n",
                "a/cpu.stat": "usage_usec 7000000\n",
                "cpu.max": "400000 100000\n",
            },
            2.0,
            7.0,
        ),
        # Version 1, with other controllers beside; the path is the host's.
        (
            "5:memory:/box\n4:cpu,cpuacct:/box\n0::/\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "cpu,cpuacct/cpuacct.usage": "1500000000\n",
            },
            3.0,
            1.5,
        ),
        # Time that is not counted, or not as a number.
        ("0::/\n", {"cpu.max": "100000 50000\n"}, 2.0, None),
    ],
)
def test_limits(
    tmp_path: Path, groups: str, files: dict[str, str], limit: float, used_s: float | None
) -> None:
    group = limit_of(tmp_path, groups, files)
    assert group is not None
    assert (group.cores, group.used_s()) == (limit, used_s)


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {}),
        ("0::/\n", {"cpu.max": "max 100000\n"}),
        ("0::/\n", {"cpu.max": "100000 0\n"}),
        ("0::/\n", {"cpu.max": "many\n"}),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ("4:memory:/\n", {"cpu/cpu.cfs_quota_us": "1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ("", {"cpu.max": "100000 100000\n"}),
        ("no line of such a file", {"cpu.max": "100000 100000\n"}),
    ],
)
def test_no_limit(tmp_path: Path, groups: str, files: dict[str, str]) -> None:
    assert limit_of(tmp_path, groups, files) is None


def test_systems_without_control_groups(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path / "no", tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("limit", "usable"), [(None, 8), (0.5, 1), (1.0, 1), (2.5, 2), (8.0, 8), (64.0, 8)]
)
def test_usable_cores_are_those_that_the_time_fills(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, usable: int
) -> None:
    group = None if limit is None else CpuLimit(cores=limit, usage=Path("none"))
    monkeypatch.setattr(cores, "cpu_limit", lambda: group)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores() == usable
