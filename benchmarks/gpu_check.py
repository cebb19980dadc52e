"""Check and measure on a GPU what no other machine can show, in eight minutes.

python benchmarks/gpu_check.py [FOLDER]              on a GPU: `make gpu-check DATA=FOLDER`
python benchmarks/gpu_check.py --tiny --device cpu   on a CPU: does every part run?

FOLDER holds the images of a data set, such as imagenette-128; without it images are drawn. Nothing
is installed or fetched. Each part runs in a process of its own and within a share of the time:

tests       the tests with the marker `gpu`
resume      runs, the same again, and stopped and resumed: the same bits, or how far apart
table       ResNet-50 at 224 px by precision, beside timm's step, and beside the bound of its work
compiled    compiled steps against steps as they are
precisions  float32, TF32, bf16 and fp16
cuda_graphs compiled steps, and the same as CUDA graphs
study       two trials on one GPU, one after the other and both at once

A part that fails, or that needs more than its share, is recorded with its error and with the rows
that it had; the others run. What one part leaves of its share goes to those after it. Results are
benchmarks/results/gpu/PART.json, of --tiny a line each. Exit code 1 if a part failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHARES = {
    "resume": 105,
    "table": 140,
    "compiled": 45,
    "precisions": 20,
    "cuda_graphs": 45,
    "study": 40,
    "tests": 85,
}
"""The parts in their order, and the seconds of eight minutes that each has."""

ROOT = Path(__file__).parents[1]


def run_part(given: dict[str, Any], file: Path) -> None:
    """Run one part in this process; leave its rows in `file`."""
    from gpu import runs, steps, table
    from gpu.check import Check

    check = Check(**given)
    parts = {
        "tests": runs.tests,
        "resume": runs.resume,
        "study": runs.study,
        "table": table.table,
        "compiled": steps.compiled,
        "precisions": steps.precisions,
        "cuda_graphs": steps.cuda_graphs,
    }
    check.leave(parts[check.part](check))


def in_process(given: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """Run a part in a process of its own; return its rows, its time, and its error if it failed."""
    started, out = time.monotonic(), Path(given["out"])
    log = out / f"{given['part']}.log"
    command = [sys.executable, __file__, "--part", json.dumps(given)]
    # A part that is killed while it compiles can leave a torn file, which no other shall load.
    compiled = {"TORCHINDUCTOR_CACHE_DIR": str(out / "compiled" / given["part"])}
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            env=os.environ | compiled,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code, error = process.wait(limit_s), None
        except subprocess.TimeoutExpired:
            # With all that it has started: compilers, workers, trials.
            os.killpg(process.pid, signal.SIGKILL)
            code, error = process.wait(), f"stopped after its share of {limit_s:.0f} s"
    if code and error is None:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        error = lines[-1][:500] if lines else f"exit code {code}"
    left = out / f"{given['part']}.json"
    rows = json.loads(left.read_text())["rows"] if left.is_file() else []
    return {"rows": rows, "seconds": time.monotonic() - started, "error": error}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", metavar="FOLDER")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="in a minute or two: not kept")
    parser.add_argument("--only", choices=tuple(SHARES), action="append", help="not kept")
    parser.add_argument("--minutes", type=float, default=8.0, help="of all parts together")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path[:0] = [str(ROOT / "src")]
    if args.part:
        given = json.loads(args.part)
        run_part(given, Path(given["out"]) / f"{given['part']}.json")
        return 0
    # What parts start, such as a study, finds the sources of this checkout.
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    from drawn_images import generated_folder

    parts = [part for part in SHARES if not args.only or part in args.only]
    ends = time.monotonic() + 60 * args.minutes - 10
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        source = args.folder
        if source is None:
            count, pixels = (24, 24) if args.tiny else (1024, 96)
            source = str(generated_folder(Path(folder) / "images", count, pixels))
        for i, part in enumerate(parts):
            left_s = max(0.0, ends - time.monotonic())
            limit_s = left_s * SHARES[part] / sum(SHARES[name] for name in parts[i:])
            given = {
                "part": part,
                "device": args.device,
                "source": str(Path(source).resolve()),
                "out": folder,
                "tiny": args.tiny,
                "ends_s": time.time() + limit_s,
            }
            outcome = in_process(given, limit_s)
            failed += [part] * (outcome["error"] is not None)
            print(json.dumps({"part": part, **outcome}), flush=True)
            if not (args.tiny or args.only):
                keep_part(part, outcome, "images that are drawn" if not args.folder else "photos")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def keep_part(part: str, outcome: dict[str, Any], data: str) -> None:
    """Write `results/gpu/PART.json`."""
    from trials import RESULTS, keep

    (RESULTS / "gpu").mkdir(parents=True, exist_ok=True)
    what = f"the part `{part}` of the GPU check, on {data}"
    keep(f"gpu/{part}", what, "benchmarks/gpu_check.py", gpu_part=part, **outcome)


if __name__ == "__main__":
    sys.exit(main())
