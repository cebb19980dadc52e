"""Attack the product: damaged images, altered files, signals, odd environments.

python benchmarks/attack.py                        all of it, about ten minutes; writes the figures
python benchmarks/attack.py --only files signals   parts of it; writes nothing

Every try is drawn from a seed, and has an end to its time. The verdicts `silent`, `traceback`,
`crash`, `hang`, `slow`, `memory`, `orphan` and `wrong exit` must not occur; the exit code is 1
where one does.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from attacks.environments import attack_environments
from attacks.files import attack_files
from attacks.images import attack_images
from attacks.signals import attack_signals
from attacks.verdict import BAD, Tally
from trials import keep

PARTS = ("images", "files", "signals", "environments")


def main() -> int:
    """Attack; print what went wrong, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=250, help="tries for each format")
    parser.add_argument("--files", type=int, default=12, help="tries for each file and way")
    parser.add_argument("--signals", type=int, default=8, help="tries for each signal")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tally, started = Tally(), time.perf_counter()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if "images" in args.only:
            attack_images(tally, rng, args.images)
        if "files" in args.only:
            attack_files(tally, rng, args.files, folder)
        if "signals" in args.only:
            attack_signals(tally, rng, args.signals, folder)
        if "environments" in args.only:
            attack_environments(tally, folder)
    for row in tally.rows():
        print(f"{row['kind']}: {row['tries']} tries, {row['verdicts']}")
    for fact, value in tally.facts.items():
        print(f"{fact}: {value:g}")
    for kind, case, verdict in tally.bad:
        print(f"{verdict}: {kind}: {case}", file=sys.stderr)
    if set(args.only) == set(PARTS):
        keep(
            "attack",
            "Attack with damaged images, altered files, signals and odd environments",
            "benchmarks/attack.py",
            seed=args.seed,
            seconds=round(time.perf_counter() - started),
            attacked=tally.rows(),
            facts=tally.facts,
            bad=[list(each) for each in tally.bad],
        )
    return int(any(verdict in BAD for _, _, verdict in tally.bad))


if __name__ == "__main__":
    sys.exit(main())
