"""The machine and the versions of libraries that a run was trained with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch

from trickbag.data.decoding.turbojpeg import turbojpeg

__all__ = ["environment"]

_PACKAGES = ("trickbag", "torch", "torchvision", "timm", "numpy", "pillow", "simplejpeg")


# Cached: a study asks for it after every trial.
@cache
def environment() -> dict[str, Any]:
    """Return processor, GPU, operating system, Python and the versions of libraries.

    `jpeg_crops` is the library that decodes the training crops of JPEGs, see `decode_box`.
    """
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    machine: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "gpu": None,
        "jpeg_crops": "simplejpeg" if turbojpeg() is None else "TurboJPEG",
        "versions": versions,
    }
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
        machine["versions"]["cuda"] = torch.version.cuda
    elif torch.backends.mps.is_available():
        machine["gpu"] = "Apple MPS"
    return machine


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    # Empty on many systems, hence /proc/cpuinfo first.
    return platform.processor() or "unknown"
