"""Train the same under two commits, in one process each, and compare all that is left.

AFTER is also given what BEFORE left: it evaluates, resumes and reports on runs and studies of the
older commit. Exit code 1 where anything differs. A difference that is meant is added to the lists
at the head of compare.py.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.compare_commits.pictures import write_data
from tests.compare_commits.scenario import Scenario
from tests.compare_commits.scenarios import scenarios

ROOT = Path(__file__).parents[2]
SOURCES = ("src", "docs/tricks")
"""What trickbag needs to run: its code, and the cards that reports show."""


def main() -> int:
    """Run and compare; return the exit code."""
    args = _arguments()
    if args.list:
        for scenario in scenarios():
            print(f"{scenario.name:<28}{scenario.what}")
        return 0
    chosen = _chosen(args.only)
    # As Ctrl-C: the processes of both sides end, and the temporary folder goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="compare-commits-") as temporary:
        out = Path(args.out or temporary).resolve()
        kept = Path(args.keep).resolve() / _commit(args.before)[:12] if args.keep else None
        seed = 1 if args.self_check else None
        old = _checkout(args.before, Path(temporary, "source-before"))
        new = _checkout(args.after, Path(temporary, "source-after"))
        before, after, crossed = kept or out / "before", out / "after", out / "crossed"
        _prepare(before, keep=kept is not None)
        _prepare(after)
        # Side by side: each computes with one thread.
        _end(_start("before", before, old, chosen), _start("after", after, new, chosen, seed))
        readers = [scenario for scenario in chosen if scenario.reads_before]
        if readers:
            _cross(before, crossed, readers)
            _end(_start("after, of what before left", crossed, new, readers))
        from tests.compare_commits.report import report  # imports torch

        return report(chosen, before, after, crossed)


def _arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.compare_commits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", nargs="?", metavar="BEFORE", help="a revision of the repository")
    parser.add_argument("after", nargs="?", metavar="AFTER", help="another, or . (working tree)")
    parser.add_argument("--out", metavar="DIR", help="where to keep what both left")
    parser.add_argument("--keep", metavar="DIR", help="keep what BEFORE left, and use it again")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these, and what they need")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    # Another seed under AFTER: whatever trains must come out different.
    parser.add_argument("--self-check", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.list and (args.before is None or args.after is None):
        parser.error("two revisions are needed: BEFORE AFTER")
    return args


def _chosen(only: list[str] | None) -> list[Scenario]:
    """Return the scenarios that were named and those that they need; all where none was."""
    known = {scenario.name: scenario for scenario in scenarios()}
    if only is None:
        return [*known.values()]
    wanted, names = list(only), set()
    while wanted:
        name = wanted.pop()
        if name not in known:
            raise SystemExit(f"no scenario {name!r}; --list names them")
        names.add(name)
        wanted += known[name].needs
    return [scenario for scenario in known.values() if scenario.name in names]


def _commit(revision: str) -> str:
    """Return the hash of a revision's commit."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--verify", f"{revision}^{{commit}}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _checkout(revision: str, target: Path) -> Path:
    """Write the sources of a revision, or of the working tree, which may change meanwhile."""
    target.mkdir()
    if revision == ".":
        for source in SOURCES:
            shutil.copytree(ROOT / source, target / source)
        return target
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", _commit(revision), *SOURCES]
    packed = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(target, filter="data")
    return target


def _prepare(folder: Path, *, keep: bool = False) -> None:
    """Make the folder of one side with its data.

    With `keep` what it holds stays, if it was made in the same way.
    """
    stamp, made_by = folder / "made_by.json", _made_by()
    if keep and stamp.exists():
        if json.loads(stamp.read_text()) == made_by:
            return
        print(f"{folder} is made again: it has another processor, versions or pictures")
    if folder.exists() and any(folder.iterdir()) and not stamp.exists():
        raise SystemExit(f"{folder} holds something else; choose another")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_data(folder / "data")
    stamp.write_text(json.dumps(made_by, indent=2))


def _made_by() -> dict[str, str]:
    """Return what decides the bits besides a commit: processor, versions, pictures."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = sorted({line for line in lines if line.startswith(("model name", "flags"))})
    pictures = Path(__file__).with_name("pictures.py").read_bytes()
    return {
        "python": platform.python_version(),
        "cpu": hashlib.sha256("\n".join(cpu).encode()).hexdigest()[:16],
        **{name: version(name) for name in ("torch", "timm", "numpy", "pillow", "simplejpeg")},
        "pictures": hashlib.sha256(pictures).hexdigest()[:16],
    }


def _start(
    side: str,
    folder: Path,
    source: Path,
    chosen: list[Scenario],
    seed: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start the scenarios of one side in a process with the sources of its commit."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{source / 'src'}:{ROOT}",
        "PYTHONSAFEPATH": "1",  # the folders of scenarios are no packages
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", "tests.compare_commits.child", side, str(folder), str(source)]
    command += [scenario.name for scenario in chosen]
    command += ["--seed", str(seed)] if seed is not None else []
    return subprocess.Popen(command, cwd=folder, env=environment)


def _end(*sides: subprocess.Popen[bytes]) -> None:
    """Wait for the processes of sides; end with the first that fails."""
    try:
        if any(side.wait() for side in sides):
            raise SystemExit("a side could not be run: see above")
    finally:
        for side in sides:
            side.terminate()


def _cross(before: Path, crossed: Path, readers: list[Scenario]) -> None:
    """Copy what BEFORE left, without what it read of it itself."""
    _prepare(crossed)
    for name in {name for scenario in readers for name in scenario.needs} | {".cache"}:
        shutil.copytree(before / name, crossed / name)


if __name__ == "__main__":
    sys.exit(main())
