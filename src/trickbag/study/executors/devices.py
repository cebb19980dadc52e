"""The CUDA devices of this machine, without starting CUDA in this process."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess

__all__ = ["cuda_devices", "listed_devices"]

_LIST_TIMEOUT_S = 60.0


def cuda_devices() -> tuple[str, ...]:
    """Return the names of the CUDA devices that programs started by this process see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _all_devices()
    names = [name.strip() for name in visible.split(",")]
    # CUDA takes no device after an entry that names none.
    end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return tuple(names[:end])


@functools.cache
def _all_devices() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listing = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=_LIST_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return listed_devices(listing.stdout)


def listed_devices(text: str) -> tuple[str, ...]:
    """Return the names of the devices in what `nvidia-smi -L` prints.

    A device that is split stands for its MIG instances.
    """
    names: list[str] = []
    for kind, name in re.findall(r"^\s*(GPU|MIG)\b.*\(UUID: (\S+)\)", text, re.MULTILINE):
        if kind == "MIG" and names and names[-1].startswith("GPU-"):
            names.pop()
        names.append(name)
    return tuple(names)
