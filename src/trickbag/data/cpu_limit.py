"""The processor time that a control group (a container, a batch system) leaves to this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CpuLimit", "cpu_limit"]

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, kw_only=True)
class CpuLimit:
    """The limit of a control group: `cores` is processor time by time, as a number of cores.

    `usage` is the file with the time that the group has used so far.
    """

    cores: float
    usage: Path

    def used_s(self) -> float | None:
        """Return the processor time of all processes of the group; None where it is not known."""
        text = _text(self.usage)
        if self.usage.name == "cpu.stat":
            words = text.split()
            text = dict(zip(words[::2], words[1::2], strict=False)).get("usage_usec", "")
            return int(text) / 1e6 if text.isdecimal() else None
        return int(text) / 1e9 if text.isdecimal() else None


def cpu_limit(groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> CpuLimit | None:
    """Return the tightest limit of the groups that this process is in; None without one.

    `groups` is where control groups of Linux are mounted, `own_groups` lists those of the process,
    in version 1 or 2. What cannot be read counts as no limit.
    """
    limits = [limit for folder in _folders(groups, own_groups) for limit in _limits(folder)]
    return min(limits, key=lambda limit: limit.cores, default=None)


def _folders(groups: Path, own_groups: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups and of those around them."""
    for line in _text(own_groups).splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or (controllers and "cpu" not in controllers.split(",")):
            continue
        # Version 2 names no controllers; systems with both versions mount it one level below.
        roots = [groups / "cpu", groups / controllers] if controllers else [groups]
        for root in dict.fromkeys(roots):
            group = root / path.strip("/")
            # In a container the path can be the host's, of which the container sees the end alone.
            around = (parent for parent in group.parents if parent.is_relative_to(root))
            yield from dict.fromkeys((group, *around, root))


def _limits(folder: Path) -> Iterator[CpuLimit]:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period):
        yield CpuLimit(cores=int(quota) / int(period), usage=folder / "cpu.stat")
    quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    if quota.isdecimal() and period.isdecimal() and int(period):  # -1 is no limit
        yield CpuLimit(cores=int(quota) / int(period), usage=folder / "cpuacct.usage")


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
