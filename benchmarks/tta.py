"""Measure the gain and the price of test-time augmentation, and of an average of networks.

python benchmarks/tta.py --data imagenette-mini --weights DIR [RUN ...]
python benchmarks/tta.py --data imagenette-mini --weights DIR --quick    printed and not kept

DIR holds tf_efficientnet_lite0.safetensors and tf_efficientnet_lite2.safetensors, the weights that
Google published, under timm's names. Each RUN is evaluated on the validation images of its own
data; more than one are averaged too. All is on the CPU, in float32, in this process.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from trials import keep
from trickbag.evaluate.average import averaged
from trickbag.evaluate.evaluation import evaluate
from trickbag.evaluate.gain import tta_gains
from trickbag.evaluate.network import load_network
from trickbag.evaluate.trained import Trained
from trickbag.metrics.paired import paired_difference

NETWORKS = ("tf_efficientnet_lite0", "tf_efficientnet_lite2")


def table(label: str, trained: Trained, **options: Any) -> dict[str, Any]:
    """Return the gains of every test-time augmentation for a network or an average."""
    evaluation = evaluate(trained, **options)
    gains = tta_gains(trained, evaluation, **options)
    print(label, evaluation.metrics["top1"])
    for gain in gains:
        print(" ", gain)
    return {
        "label": label,
        "data": Path(evaluation.data).name,
        "part": evaluation.part,
        "images": evaluation.images,
        "top1": evaluation.metrics["top1"],
        "gains": [gain.to_dict() for gain in gains],
    }


def average(label: str, trained: list[Trained], **options: Any) -> dict[str, Any]:
    """Compare the average of networks with the best of them, on the same images."""
    validations = [evaluate(each, **options).validation for each in [*trained, averaged(trained)]]
    right = [v.predicted == v.labels for v in validations if v is not None]
    *alone, mean = right
    best = max(alone, key=lambda each: each.mean())
    gain = paired_difference(mean, best)
    row = {
        "label": label,
        "top1_alone": [100 * float(each.mean()) for each in alone],
        "top1": 100 * float(mean.mean()),
        "gain_over_best": 100 * gain.mean,
        "low": 100 * gain.low,
        "high": 100 * gain.high,
        "images": len(mean),
    }
    print(json.dumps(row))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="8 images, not kept")
    parser.add_argument("--busy", action="store_true", help="say that other work runs beside it")
    parser.add_argument("runs", nargs="*")
    args = parser.parse_args()
    limit = {"limit": 8} if args.quick else {}
    published: dict[str, Any] = {"data": args.data, "part": "val", "workers": 0, **limit}
    networks = [
        load_network(f"timm:{name}", args.weights / f"{name}.safetensors", "cpu")
        for name in NETWORKS
    ]
    tables = [
        table(name, network, **published) for name, network in zip(NETWORKS, networks, strict=True)
    ]
    averages = [average(" + ".join(NETWORKS), networks, **published)]
    runs = [Trained.load(run, "cpu") for run in args.runs]
    own_data: dict[str, Any] = {"workers": 0, **limit}
    tables += [
        table(Path(name).name, run, **own_data) for name, run in zip(args.runs, runs, strict=True)
    ]
    if len(runs) > 1:
        names = " + ".join(Path(name).name for name in args.runs)
        averages.append(average(names, runs, **own_data))
    if not args.quick:
        keep(
            "tta",
            "top-1 with each test-time augmentation, its gain with a 95 % interval over the "
            "images, and the network's images/s as a share of those without; averages of networks "
            "beside the best of them",
            "benchmarks/tta.py",
            busy=args.busy,
            augmented=tables,
            averages=averages,
        )


if __name__ == "__main__":
    main()
