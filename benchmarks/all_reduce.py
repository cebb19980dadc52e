"""Measure the sum of gradients over processes: ours after the backward pass, and DDP's within it.

python benchmarks/all_reduce.py                      two processes, on the CPU (gloo)
python benchmarks/all_reduce.py --device cuda        a process for each GPU (nccl), bf16
python benchmarks/all_reduce.py --processes 4        another number of processes
python benchmarks/all_reduce.py --quick              a small network, a few rounds: not kept

A step is forward, cross-entropy, backward, the sum of the gradients and SGD with momentum. `ours`
sums all of them in one piece when the backward pass has ended (`World.all_reduce_gradients`). `ddp`
is torch's DistributedDataParallel, which sums buckets of them meanwhile. `alone` sums nothing: a
bound of what any exchange can reach. All three have the same weights and images. The sums of ours
and of DDP are compared before the clock starts. They take turns in every round. The time of a step
is that of the slowest process.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import distributed, multiprocessing, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from trials import keep
from trickbag.models import create_model
from trickbag.train.machine.parallel import ProcessWorld, World, process_world
from turns import beside, in_turns, keep_memory

TOLERANCE = 1e-5
"""Largest difference between the sums of ours and of DDP, as a fraction of the largest gradient."""


def gradients_of(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, scale: float
) -> None:
    """Set the gradients of this process's part of the loss."""
    device = images.device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        logits = network(images)
    (functional.cross_entropy(logits.float(), labels) * scale).backward()


def stepping(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    scale: float,
    exchange: Callable[[nn.Module], None],
) -> Callable[[], None]:
    """Return a step that ends its backward pass with an exchange."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9, fused=True)

    def step() -> None:
        gradients_of(network, images, labels, scale)
        exchange(network)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def require_same_sums(ours: nn.Module, ddp: nn.Module, work: Callable[[nn.Module], None]) -> None:
    """Compare the gradients of one step; of DDP they are means, which `work` takes into account."""
    for network in (ours, ddp):
        work(network)
    for (name, parameter), other in zip(ours.named_parameters(), ddp.parameters(), strict=True):
        assert parameter.grad is not None
        assert other.grad is not None
        difference = (parameter.grad - other.grad).abs().max()
        if not difference <= TOLERANCE * other.grad.abs().max() + 1e-7:
            raise SystemExit(f"the sums of the gradients of {name} differ by {difference}")
    for network in (ours, ddp):
        network.zero_grad(set_to_none=True)


def nothing(_: nn.Module) -> None:
    pass


def measure(world: World, args: argparse.Namespace) -> dict[str, Any]:
    """Measure the steps of a network, in all processes at the same time."""
    device = torch.device(args.device)
    layout = torch.channels_last if args.device == "cuda" else torch.contiguous_format
    generator = torch.Generator().manual_seed(world.rank)
    shape = (args.batch, 3, args.pixels, args.pixels)
    images = torch.randn(shape, generator=generator).to(device, memory_format=layout)
    labels = torch.randint(1000, (args.batch,), generator=generator).to(device)
    ours, other, alone = (
        create_model(args.network, num_classes=1000).train().to(device, memory_format=layout)
        for _ in range(3)
    )
    for network in (other, alone):
        network.load_state_dict(ours.state_dict())
    # The statistics of each process stay its own, as in ours.
    ddp = DistributedDataParallel(other, forward_sync_buffers=False)
    share = 1 / world.size

    def work(network: nn.Module) -> None:
        if network is ddp:
            gradients_of(network, images, labels, 1.0)
            return
        gradients_of(network, images, labels, share)
        world.all_reduce_gradients(network)

    if args.device == "cpu":  # in bf16 the sums themselves are rounded in another order
        require_same_sums(ours, ddp, work)
    jobs = {
        "ours": stepping(ours, images, labels, scale=share, exchange=world.all_reduce_gradients),
        "ddp": stepping(ddp, images, labels, scale=1.0, exchange=nothing),
        "alone": stepping(alone, images, labels, scale=share, exchange=nothing),
    }
    seconds = in_turns(jobs, args.rounds, args.device)
    slowest = {
        name: [max(times) for times in zip(*world.all_gather(seconds[name]), strict=True)]
        for name in jobs
    }
    return {
        "network": args.network,
        "processes": world.size,
        "image_size": args.pixels,
        "batch_of_a_process": args.batch,
        "gradient_bytes": sum(p.numel() * p.element_size() for p in ours.parameters()),
        "step_s": {name: median(times) for name, times in slowest.items()},
        "times_as_fast": {
            name: beside(slowest["ours"], slowest[name]) for name in ("ddp", "alone")
        },
    }


def work_of(rank: int, args: argparse.Namespace, port: int, out: Path) -> None:
    """Measure in one of the processes; the first one writes what came out."""
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank)}
    os.environ.update(environment | {"WORLD_SIZE": str(args.processes), "LOCAL_RANK": str(rank)})
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    backend = "cpu:gloo,cuda:nccl" if args.device == "cuda" else "gloo"
    if args.device == "cuda":
        torch.cuda.set_device(rank)
    distributed.init_process_group(backend)
    with process_world() as world:
        assert isinstance(world, ProcessWorld)
        world.compute_on(args.device)
        row = measure(world, args)
        if world.is_main:
            out.write_text(json.dumps(row))
    distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--processes", type=int, help="default: 2, or the GPUs of the machine")
    parser.add_argument("--threads", type=int, default=1, help="of each process on a CPU")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    keep_memory()
    on_gpu = args.device == "cuda"
    args.processes = args.processes or (torch.cuda.device_count() if on_gpu else 2)
    if args.processes < 2:
        raise SystemExit(f"{args.processes} process has nothing to sum: --processes 2 or more")
    networks = ["resnet18", "resnet50", "resnet50_d"]
    args.batch, args.pixels, args.rounds = (64, 224, 31) if on_gpu else (8, 224, 11)
    if args.quick:
        networks, args.batch, args.pixels, args.rounds = ["resnet18"], 2, 64, 3
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for args.network in networks:
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
            out = Path(folder) / "row.json"
            multiprocessing.spawn(work_of, (args, port, out), nprocs=args.processes)
            rows.append(json.loads(out.read_text()))
            print(json.dumps(rows[-1]), flush=True)
    if args.quick:
        return
    name = "all_reduce" + ("_cuda" if on_gpu else "")
    arithmetic = "bf16, channels last, NCCL" if on_gpu else f"float32, {args.threads} thread, Gloo"
    description = (
        f"A training step of {args.processes} processes with {args.batch} images of {args.pixels} "
        f"px each, {arithmetic}: medians of {args.rounds} rounds in turns, and all rounds' range"
    )
    keep(name, description, "benchmarks/all_reduce.py" + " --device cuda" * on_gpu, rows=rows)


if __name__ == "__main__":
    main()
