"""Train the default recipe on the built-in digits with five seeds, in the time of a demo.

python benchmarks/digits.py
"""

from __future__ import annotations

from trials import Arm, compare

if __name__ == "__main__":
    compare(
        "digits",
        "the recipe small on the built-in digits, 16 px",
        [Arm("small", ("small",))],
        seeds=5,
    )
