"""Where a Ray cluster is, and what its machines have; asked in bounded time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from urllib.parse import urlsplit

from trickbag.errors import UserError

__all__ = ["cluster_nodes", "full_address", "one_line"]

_CONNECT_S = 5.0
_JOIN_S = 30.0
_PORTS = {"": 6379, "ray": 10001}

# In a process of its own, which can be given a limit: in this one a cluster that cannot be joined
# may take minutes to fail.
_PROBE = """
import json, sys
try:
    import ray
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
    answer = {"nodes": [node["Resources"] for node in ray.nodes() if node["Alive"]]}
except Exception as error:
    answer = {"error": str(error.__cause__ or error)}
print(json.dumps(answer))
"""


def cluster_nodes(address: str) -> list[dict[str, float]]:
    """Return what each machine of a cluster has.

    Raises UserError where the cluster does not answer within half a minute.
    """
    command = [sys.executable, "-c", _PROBE, full_address(address)]
    try:
        probe = subprocess.run(
            command, capture_output=True, text=True, timeout=_JOIN_S, check=False
        )
        output = json.loads(probe.stdout.splitlines()[-1])
        reason = output.get("error", "")
    except subprocess.TimeoutExpired:
        output, reason = {}, f"no answer within {_JOIN_S:.0f} s"
    except (IndexError, ValueError):
        output, reason = {}, (probe.stderr.splitlines() or ["no answer"])[-1]
    if "nodes" in output:
        nodes: list[dict[str, float]] = output["nodes"]
        return nodes
    raise UserError(
        f"address = {address!r}: cannot join a Ray cluster there ({one_line(reason)})",
        "start one with `ray start --head`"
        if address == "auto"
        else "is it the head's, and does Ray run there?",
    )


def full_address(address: str) -> str:
    """Return an address with its port; UserError where nothing listens there."""
    if address == "auto":
        return address
    scheme, mark, rest = address.rpartition("://")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port or _PORTS[scheme]
        if not host:
            raise ValueError("no host")
    except (KeyError, ValueError) as error:
        raise UserError(
            f"address = {address!r}: must be auto, HOST, HOST:PORT or ray://HOST:PORT"
        ) from error
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError as error:
        raise UserError(
            f"address = {address!r}: nothing answers at {host}, port {port} ({error})"
        ) from error
    return f"{scheme}{mark}[{host}]:{port}" if ":" in host else f"{scheme}{mark}{host}:{port}"


def one_line(text: str) -> str:
    """Return an error's text in one line: of a traceback the last, which has the error."""
    lines = text.split("\n") or [""]
    if "Traceback (most recent call last):" in text:
        lines = [line for line in lines if line.strip()][-1:]
    return " ".join(" ".join(lines).split())
