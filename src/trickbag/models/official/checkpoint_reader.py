"""A program that writes the variables of a TensorFlow checkpoint to an `.npz`.

python -m trickbag.models.official.checkpoint_reader PREFIX FILE.npz

It is a program because TensorFlow needs a process without torch. If it fails, it prints the reason
in one line and exits with 1.
"""

from __future__ import annotations

import sys

import numpy as np

from trickbag.errors import first_line
from trickbag.models.official.variables import is_weight

__all__ = ["main"]


def main(prefix: str, file: str) -> int:
    """Write all variables but those of the optimizer; return the exit code."""
    try:
        import tensorflow

        reader = tensorflow.train.load_checkpoint(prefix)
        names = filter(is_weight, sorted(reader.get_variable_to_shape_map()))
        np.savez(file, **{name: reader.get_tensor(name) for name in names})
    except Exception as error:  # the errors of TensorFlow have no common base
        print(first_line(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
