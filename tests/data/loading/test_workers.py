"""Worker processes that are killed or receive Ctrl-C: real processes and real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.builders.images import photo_folder
from tests.builders.marks import long
from trickbag.data.config import DataConfig
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.sources import open_source
from trickbag.errors import RunFailed


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_with_a_reason(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path, {"a": 40, "b": 40})
    data = DataConfig(source=str(tree))
    part = open_source(data).parts["train"]
    before = _children()
    with Loader(
        part, data, Preprocessing.of(data, 64), train=True, batch_size=2, seed=0, workers=1
    ) as loader:
        batches = loader.epoch(0)
        next(batches)
        (worker,) = (child for child in _children() - before if "spawn_main" in _command(child))
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(
            RunFailed, match=r"a data worker process died \(SIGKILL\).*data\.workers"
        ):
            for _ in batches:
                pass
        assert len(list(loader.epoch(0))) == 40  # a new one starts


@pytest.mark.slow
def test_a_closed_loader_leaves_no_thread(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path, {"a": 8, "b": 8})
    data = DataConfig(source=str(tree))
    before = set(threading.enumerate())
    part = open_source(data).parts["train"]
    with Loader(
        part, data, Preprocessing.of(data, 16), train=True, batch_size=2, seed=0, workers=2
    ) as loader:
        assert len(list(loader.epoch(0))) == 8
        assert set(threading.enumerate()) > before, "a thread for each worker"
    assert set(threading.enumerate()) == before


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


SCRIPT = """
import signal, sys
from trickbag.data.config import DataConfig
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.sources import open_source

if __name__ == "__main__":
    got = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: got.append(signal.Signals(number).name))
    data = DataConfig(source=sys.argv[1])
    part = open_source(data).parts["train"]
    size = Preprocessing.of(data, 16)
    with Loader(part, data, size, train=True, batch_size=2, seed=0, workers=2) as loader:
        print("starting", flush=True)
        count = 0
        for batch in loader.epoch(0):
            count += 1
            if count == 2:
                print("running", flush=True)
                sys.stdin.readline()
    print(count, *got, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("state", ["running", long("starting")])
def test_signals_to_the_process_group_reach_the_parent_alone(tmp_path: Path, state: str) -> None:
    tree = photo_folder(tmp_path / "set", {"a": 40, "b": 40})
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), str(tree)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == state:
                os.killpg(process.pid, signal.SIGINT)
                os.killpg(process.pid, signal.SIGTERM)
                break
        out, errors = process.communicate("go on\n")
    assert errors == ""
    assert process.returncode == 0
    assert out.splitlines()[-1] == "40 SIGINT SIGTERM"


UNGUARDED = """
import sys
import trickbag as tb

print("begin", flush=True)
recipe = tb.recipes.small(data=sys.argv[1]).set("data.workers", "2").set("training.epochs", "1")
recipe = recipe.set("data.worker_kind", "processes")
recipe = recipe.set("training.batch_size", "64").set("data.image_size", "16")
recipe = recipe.only().on("timm:test_resnet")
tb.fit(recipe, out=sys.argv[2])
print("end", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("source", ["digits", "folder"])
def test_a_script_without_a_guard_trains(tmp_path: Path, source: str) -> None:
    # The digits, in memory, are more than a pipe holds: a parent that writes them would wait.
    data = str(photo_folder(tmp_path / "set", {"a": 40, "b": 40})) if source == "folder" else source
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    command = [sys.executable, str(script), data, str(tmp_path / "run")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stdout.splitlines()) == (0, ["begin", "end"]), result.stderr


NEEDED = """
import sys
from dataclasses import dataclass
from trickbag.data.config import DataConfig
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.sources import open_source


@dataclass
class Upside:
    part: object
    labels: object
    annotations = "classes"

    def __len__(self):
        return len(self.part)

    def read(self, row):
        return self.part.read(row)[::-1].copy()


if __name__ == "__main__":
    data = DataConfig(source=sys.argv[1])
    part = open_source(data).parts["train"]
    part = Upside(part, part.labels)
    size = Preprocessing.of(data, 16)
    with Loader(part, data, size, train=False, batch_size=8, workers=1) as loader:
        print(sum(len(batch.images) for batch in loader.epoch(0)))
"""


@pytest.mark.slow
def test_workers_import_the_script_that_defines_the_part(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"a": 8, "b": 8})
    script = tmp_path / "script.py"
    script.write_text(NEEDED)
    command = [sys.executable, str(script), str(tree)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stdout.split()) == (0, ["16"]), result.stderr


HELD_BACK = """
import os, signal
from trickbag.data.loading.workers import enter_worker

signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
for number in (signal.SIGTERM, signal.SIGINT):
    os.kill(os.getpid(), number)
enter_worker()
print("alive", flush=True)
os.kill(os.getpid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGTERM)
print("not ended")
"""


def test_a_worker_survives_signals_to_its_group_while_it_started() -> None:
    result = subprocess.run(
        [sys.executable, "-c", HELD_BACK], capture_output=True, text=True, check=False, timeout=300
    )
    assert (result.returncode, result.stderr) == (-signal.SIGTERM, "")
    assert result.stdout.split() == ["alive"]
