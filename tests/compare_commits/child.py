"""Run scenarios with the trickbag of one checkout, in one process: what `__main__` starts."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import IO

from tests.compare_commits.scenario import Step
from tests.compare_commits.scenarios import scenarios

DONE, LISTED = "done.json", "tricks.json"
LONGEST_S = 1200  # of a command in a process of its own, on a machine with other work


def run_scenarios(side: str, names: set[str], seed: int | None) -> None:
    """Run those of the scenarios that this folder does not hold yet.

    A scenario's `done.json` says what it was and how it ended. `side` is what to call this side,
    `seed` another seed for all runs.
    """
    listed = _listed()
    for scenario in scenarios():
        folder = Path(scenario.name)
        done = folder / DONE
        if scenario.name not in names or (scenario.trick and scenario.trick not in listed):
            continue
        if done.exists() and json.loads(done.read_text())["scenario"] == repr(scenario):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        start, error = time.perf_counter(), None
        with (folder / "log.txt").open("w") as log:
            try:
                for step in scenario.steps:
                    _take(step, log, seed)
            except Exception as raised:
                # Whatever a commit raises is a difference to report, not the end.
                error = f"{type(raised).__name__}: {raised}"
                traceback.print_exc(file=log)
        seconds = round(time.perf_counter() - start, 1)
        # Written last: a scenario that was interrupted has none, and runs again.
        end = {"scenario": repr(scenario), "error": error, "seconds": seconds}
        done.write_text(json.dumps(end))
        print(f"{side}: {scenario.name}, {seconds} s", error or "", flush=True)


def _listed() -> set[str]:
    """Return the names of the tricks that this checkout has, and keep them for the comparison."""
    from trickbag.cli import main

    with open(LISTED, "w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        main(["list", "tricks", "--json"])
    return {trick["name"] for trick in json.loads(Path(LISTED).read_text(encoding="utf-8"))}


def _take(step: Step, log: IO[str], seed: int | None) -> None:
    """Take one step; RuntimeError where it ends otherwise than it should."""
    if step.how == "copy":
        shutil.copytree(*shlex.split(step.text))
        return
    arguments = shlex.split(step.text)
    if arguments[0] == "predict" and _calibrates():
        # Commits before confidences were calibrated give these.
        arguments.append("--raw-confidence")
    if seed is not None and arguments[0] == "train" and "--resume" not in arguments:
        arguments += ["--seed", str(seed)]
    print("$ trickbag", *arguments, file=log, flush=True)
    take = _call if step.how == "call" else _process
    code = take(step, arguments, log)
    if code not in (step.exit_code, step.other_exit_code):
        last = Path(log.name).read_text().strip().splitlines()[-1]
        raise RuntimeError(f"exit code {code}, not {step.exit_code}, of {step.text}: {last}")


@functools.cache
def _calibrates() -> bool:
    """Tell whether `predict` of this checkout gives calibrated confidences."""
    import trickbag

    command = Path(trickbag.__file__).parent / "cli" / "predict.py"
    return "--raw-confidence" in command.read_text(encoding="utf-8")


def _call(step: Step, arguments: list[str], log: IO[str]) -> int:
    """Run a command in this process; return its exit code."""
    from trickbag.cli import main

    with contextlib.ExitStack() as stack:
        output: IO[str] = log
        if step.output:
            output = stack.enter_context(open(step.output, "w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(output))
        stack.enter_context(contextlib.redirect_stderr(log))
        try:
            return main(arguments)
        except SystemExit as stop:
            return int(stop.code or 0)
        finally:
            log.flush()


def _process(step: Step, arguments: list[str], log: IO[str]) -> int:
    """Run a command in processes of its own; return its exit code."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [
        sys.executable,
        *(launcher if step.how == "torchrun" else []),
        "-m",
        "trickbag",
        *arguments,
    ]
    with subprocess.Popen(command, stdout=log, stderr=log) as process:
        if step.how == "stop":
            until = Path(step.until)
            while process.poll() is None and not (until.exists() and until.stat().st_size):
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side")
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--seed", type=int)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    os.chdir(args.folder)
    import trickbag

    if not Path(trickbag.__file__).is_relative_to(args.checkout):
        raise SystemExit(f"trickbag is {trickbag.__file__}, not of {args.checkout}")
    run_scenarios(args.side, set(args.names), args.seed)
    used = os.times()
    total = used.user + used.system + used.children_user + used.children_system
    print(f"{args.side}: {total:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
