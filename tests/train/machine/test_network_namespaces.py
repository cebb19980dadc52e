"""Two machines in place of two processes: network namespaces of Linux, joined by one cable.

Each has interfaces of its own, and reaches the other by its address alone. Their disk is shared, as
the machines of a run share its folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.runs import assert_same_run
from tests.train.machine.test_parallel import command
from tests.train.processes import ROOT, end, start

pytestmark = pytest.mark.slow

PORT = 29_517


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def namespaces() -> Iterator[dict[str, str]]:
    """The address of each of two network namespaces, by the name of the namespace."""
    if sys.platform != "linux":
        pytest.skip("network namespaces are those of Linux")
    if shutil.which("ip") is None:
        pytest.skip("there is no program `ip` (iproute2)")
    if os.geteuid() != 0:
        pytest.skip("only root can create network namespaces")
    mark = os.getpid() % 100_000
    names = [f"trickbag-{mark}-{place}" for place in range(2)]
    created: list[str] = []
    try:
        try:
            for name in names:
                ip("netns", "add", name)
                created.append(name)
            ip("link", "add", f"tb{mark}a", "type", "veth", "peer", "name", f"tb{mark}b")
            for place, name in enumerate(names):
                interface = f"tb{mark}{'ab'[place]}"
                ip("link", "set", interface, "netns", name)
                inside = ("-n", name)
                ip(*inside, "link", "set", interface, "name", "eth0")
                ip(*inside, "address", "add", f"10.77.0.{place + 1}/24", "dev", "eth0")
                ip(*inside, "link", "set", "eth0", "up")
                ip(*inside, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine allows no network namespaces: {error.stderr.strip()}")
        yield {name: f"10.77.0.{place + 1}" for place, name in enumerate(names)}
    finally:
        for name in created:  # with the interfaces in it
            ip("netns", "delete", name)


def torchrun(name: str, place: int, address: str, arguments: list[str]) -> subprocess.Popen[str]:
    """Start one node of two, with a process of its own, in a network namespace."""
    inside = ["ip", "netns", "exec", name]
    flags = ["--nnodes=2", f"--node-rank={place}", "--nproc-per-node=1"]
    flags += [f"--master-addr={address}", f"--master-port={PORT}"]
    return subprocess.Popen(
        [*inside, sys.executable, "-m", "torch.distributed.run", *flags, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "OMP_NUM_THREADS": "1",
            # The machine's own name leads to an address that the namespace does not have.
            "GLOO_SOCKET_IFNAME": "eth0",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_two_nodes_train_one_run(
    pictures: Path, tmp_path: Path, namespaces: dict[str, str]
) -> None:
    first = next(iter(namespaces.values()))
    out = tmp_path / "nodes"
    nodes = [
        torchrun(name, place, first, command(pictures, out))
        for place, name in enumerate(namespaces)
    ]
    codes, errors = end(nodes)
    assert codes == [0, 0], errors
    reference = tmp_path / "reference"
    codes, errors = end(start(2, command(pictures, reference)))
    assert codes == [0, 0], errors
    assert_same_run(out, reference)
