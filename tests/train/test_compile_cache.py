"""Runs of one process compile once for all seeds, and have the weights of separate runs."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from tests.builders.recipes import tiny_recipe
from tests.builders.runs import assert_same_run
from trickbag.train.compile_cache import CompileCache, keep_on_disk
from trickbag.train.fit import fit


@pytest.fixture(autouse=True)
def _quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with the backend that generates no code; it captures the same graphs."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    torch.compiler.reset()
    counters.clear()


def graphs() -> int:
    return int(counters["stats"]["unique_graphs"])


@pytest.mark.slow
def test_seeds_share_what_is_compiled(pictures: Path, tmp_path: Path) -> None:
    full = tiny_recipe(pictures, epochs=1, training__compile="on")
    variants = {"full": full, "-mixup": full.without("mixup")}
    compile_cache, captured = CompileCache(), []
    for seed in (0, 1):
        for label, variant in variants.items():
            fit(variant, seed, tmp_path / "shared" / f"{label}-{seed}", compile_cache=compile_cache)
            captured.append(graphs())
    assert captured[0] >= 1
    assert captured[1] > captured[0]
    assert captured[2:] == [captured[1]] * 2, "a second seed compiled again"
    for seed in (0, 1):
        for label, variant in variants.items():
            fit(variant, seed, tmp_path / "alone" / f"{label}-{seed}")
            assert_same_run(
                tmp_path / "shared" / f"{label}-{seed}", tmp_path / "alone" / f"{label}-{seed}"
            )


@pytest.mark.slow
@pytest.mark.long
def test_many_variants_in_one_process(pictures: Path, tmp_path: Path) -> None:
    # The compiler refuses after 8 versions of one function, and counts those of another run apart.
    small = (
        tiny_recipe(pictures, epochs=1, training__compile="on").on("timm:resnet10t").only("warmup")
    )
    compile_cache = CompileCache()
    for i in range(10):
        result = fit(
            small.set("training.lr", str(0.1 + i / 100)),
            0,
            tmp_path / str(i),
            compile_cache=compile_cache,
        )
        assert result.error is None


COMPILING = """
import json, torch
from torch._dynamo.utils import counters
from trickbag.train.compile_cache import keep_on_disk

keep_on_disk()
double = torch.compile(lambda values: (values * 2).relu().sum(), fullgraph=True)
assert float(double(torch.ones(8))) == 16
found = counters["inductor"]["fxgraph_cache_hit"] + counters["aot_autograd"]["autograd_cache_hit"]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_another_process_reads_what_was_compiled(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
    hits = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", COMPILING],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            ).stdout.splitlines()[-1]
        )
        for _ in range(2)
    ]
    assert hits[0] == 0
    assert hits[1] >= 1
    assert list((tmp_path / "trickbag" / "compiled").iterdir())


def test_a_place_that_the_environment_names_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    keep_on_disk()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "elsewhere"
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    keep_on_disk()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "trickbag" / "compiled")


def library() -> bytes:
    """A real shared library of this machine."""
    return Path(torch._C.__file__).read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="libraries have another form there")
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_torn_code_is_removed_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, share: float
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    content = library()
    folder = tmp_path / "trickbag" / "compiled"
    (folder / "ab").mkdir(parents=True)
    (folder / "locks").mkdir()
    (folder / "ab" / "cwhole.main.so").write_bytes(content)
    (folder / "ab" / "ctorn.main.so").write_bytes(content[: int(share * len(content))])
    (folder / "ab" / "graph.py").write_bytes(b"")
    with (folder / "locks" / "ctorn.lock").open("w") as lock:
        # It may be that of a process that still writes the file.
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert keep_on_disk() == []
    (note,) = keep_on_disk()
    assert note.kind == "damage"
    assert "1 file of compiled code" in note.reason
    assert "(ctorn.main.so): removed" in note.reason
    assert sorted(path.name for path in (folder / "ab").iterdir()) == ["cwhole.main.so", "graph.py"]
    assert keep_on_disk() == []


KILLED = """
import os, torch
from trickbag.train.compile_cache import keep_on_disk

for note in keep_on_disk():
    print(note.reason)
double = torch.compile(lambda values: (values * 2).relu().sum(), fullgraph=True)
assert float(double(torch.ones(8))) == 16
print("compiled")
"""

COMPILER = """#!/bin/sh
# Compiles, but dies in the middle of writing a library.
last=""
for word in "$@"; do
  case "$last" in -o) target="$word";; esac
  last="$word"
done
case "$target" in
  *{target}) : > "$target"; touch {reached}; sleep 600;;
esac
exec g++ "$@"
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler")
def test_a_process_that_is_killed_while_it_compiles_stops_no_later_one(tmp_path: Path) -> None:
    compiler, reached = tmp_path / "compiler", tmp_path / "reached"
    compiler.write_text(COMPILER.format(target=".main.so", reached=reached))
    compiler.chmod(0o755)
    # Without headers that are compiled beforehand, which takes most of the time.
    quick = {"TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0"}
    environment = {**os.environ, **quick, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(
        command, env=environment | {"CXX": str(compiler)}, start_new_session=True
    ) as process:
        while not reached.exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    torn = [*(tmp_path / "trickbag" / "compiled").rglob("*.main.so")]
    assert [path.stat().st_size for path in torn] == [0]
    later = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert "1 file of compiled code" in later
    assert later.endswith("compiled\n")
