"""Where a Ray cluster is, and what it has: asked in bounded time, by a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from urllib.parse import urlsplit

from trickbag.errors import UserError

__all__ = ["full_address", "one_line", "reach"]

_CONNECT_S = 5.0
_JOIN_S = 30.0
_PORTS = {"": 6379, "ray": 10001}

# Joining a cluster in a process of its own, where it can be given a limit: in this one it can take
# minutes to fail.
_PROBE = """
import json, sys
try:
    import ray
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
    found = {"nodes": [node["Resources"] for node in ray.nodes() if node["Alive"]]}
except Exception as error:
    found = {"error": str(error.__cause__ or error)}
print(json.dumps(found))
"""


def reach(address: str) -> list[dict[str, float]]:
    """Return what each machine of a cluster has. UserError where the cluster does not answer in
    good time."""
    command = [sys.executable, "-c", _PROBE, full_address(address)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_JOIN_S, check=False)
        found = json.loads(done.stdout.splitlines()[-1])
        reason = found.get("error", "")
    except subprocess.TimeoutExpired:
        found, reason = {}, f"no answer within {_JOIN_S:.0f} s"
    except (IndexError, ValueError):
        found, reason = {}, (done.stderr.splitlines() or ["no answer"])[-1]
    if "nodes" in found:
        nodes: list[dict[str, float]] = found["nodes"]
        return nodes
    way = (
        "start one with `ray start --head`"
        if address == "auto"
        else "is it the head's, and does Ray run there?"
    )
    raise UserError(
        f"address = {address!r}: cannot join a Ray cluster there ({one_line(reason)}); {way}"
    )


def full_address(address: str) -> str:
    """Return an address with its port, after a knock at it. UserError where nothing listens
    there."""
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
    """Return an error's text in one line: of a traceback the last, which says what it was."""
    lines = text.split("\n") or [""]
    if "Traceback (most recent call last):" in text:
        lines = [line for line in lines if line.strip()][-1:]
    return " ".join(" ".join(lines).split())
