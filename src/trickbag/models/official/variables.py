"""Files of the variables of an original TensorFlow network: an `.npz`, or a checkpoint.

Importing this module loads neither torch nor TensorFlow.
"""

from __future__ import annotations

import glob
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.errors import UserError, first_line
from trickbag.files import named_warnings
from trickbag.paths import WEIGHTS, exists, open_regular, require_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["is_variables", "is_weight", "read_variables", "variable_files"]

_SLOT = "/Momentum"
_STEP = "global_step"


def is_variables(path: Path) -> bool:
    """Tell whether a path means variables: an `.npz`, a checkpoint's prefix or `.index` file."""
    return path.suffix in (".npz", ".index") or exists(_index(path))


def is_weight(name: str) -> bool:
    """Tell whether a variable belongs to the network, not to the optimizer or the step counter."""
    return name != _STEP and not name.endswith(_SLOT)


def variable_files(path: Path) -> list[Path]:
    """List the files that hold the variables, always in the same order."""
    if path.suffix == ".npz":
        return [path]
    prefix = _prefix(path)
    return [_index(prefix), *sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*"))]


def read_variables(path: Path) -> dict[str, NDArray[Any]]:
    """Read the variables of a network by name, without those of the optimizer.

    The path is that of an `.npz`, whose arrays may be named `NAME` or `NAME:0` and are plain
    numbers; or of a checkpoint, by its prefix (`model.ckpt-123`, beside which are
    `model.ckpt-123.index` and `.data-...`) or its `.index` file. TensorFlow reads a checkpoint, as
    no other library knows the format. Raises UserError for a missing or damaged file, or if
    TensorFlow is needed and not installed.
    """
    return _from_npz(path) if path.suffix == ".npz" else _from_checkpoint(_prefix(path))


def _prefix(path: Path) -> Path:
    return path.with_suffix("") if path.suffix == ".index" else path


def _index(path: Path) -> Path:
    # Not `with_suffix`: it would take the `.ckpt-123` of a prefix for a suffix and replace it.
    return path if path.suffix == ".index" else path.parent / f"{path.name}.index"


def _from_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # numpy leaves open what it opens itself and cannot read.
        with named_warnings(path), open_regular(path, WEIGHTS) as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("a single array, not a file of named ones")
            # TensorFlow names a variable's value `NAME:0`, the first output of its operation.
            return {
                name.removesuffix(":0"): arrays[name] for name in arrays.files if is_weight(name)
            }
    except FileNotFoundError as error:
        raise UserError(
            f"no file {path}", "give the variables of an official network as an .npz"
        ) from error
    # What numpy and zipfile raise for files that are cut, changed, or no archive at all.
    except (
        OSError,
        ValueError,
        EOFError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
    ) as error:
        raise UserError(
            f"{path} cannot be read as an .npz of arrays ({_reason(error)})", "give another copy"
        ) from error


def _from_checkpoint(prefix: Path) -> dict[str, NDArray[Any]]:
    if not exists(_index(prefix)):
        raise UserError(
            f"no file {_index(prefix)}",
            "give the prefix of a TensorFlow checkpoint, such as model.ckpt-123",
        )
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"{prefix} is a TensorFlow checkpoint, which TensorFlow alone can read, and that is "
            "not installed (pip install 'trickbag[tensorflow]')",
            "or give its variables as an .npz",
        )
    for part in variable_files(prefix):
        require_regular(part, WEIGHTS)
    # In a process without torch: each brings its own LLVM, and both in one can crash it.
    with tempfile.TemporaryDirectory(prefix="trickbag-") as folder:
        file = Path(folder, "variables.npz")
        program = "trickbag.models.official.checkpoint_reader"
        command = [sys.executable, "-m", program, str(prefix), str(file)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode == 0:
            return _from_npz(file)
    # TensorFlow may print before; the reader's reason is the last line.
    reason = (done.stdout.splitlines() or [f"its reader ended with {done.returncode}"])[-1]
    raise UserError(
        f"{prefix} cannot be read as a TensorFlow checkpoint ({reason.rstrip('.')})",
        "give another copy of it, with its .index and its .data files",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error).rstrip(".")
