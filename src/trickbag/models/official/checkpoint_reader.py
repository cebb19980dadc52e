"""Write the variables of a TensorFlow checkpoint to an `.npz`: a program, since TensorFlow needs a process of its own.

python -m trickbag.models.official.checkpoint_reader PREFIX FILE.npz

Where it cannot, it prints why in one line, and exits with 1.
"""

from __future__ import annotations

import sys

import numpy as np

from trickbag.models.official.variables import is_weight

__all__ = ["main"]


def main(prefix: str, file: str) -> int:
    """Write the variables but the optimizer's; return the exit code."""
    try:
        import tensorflow

        reader = tensorflow.train.load_checkpoint(prefix)
        names = filter(is_weight, sorted(reader.get_variable_to_shape_map()))
        np.savez(file, **{name: reader.get_tensor(name) for name in names})
    except Exception as error:  # its errors have no common base
        print((str(error).splitlines() or [type(error).__name__])[0])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
