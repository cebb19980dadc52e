"""The default recipe on the built-in digits: five seeds, in a time that a demo can take.

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
