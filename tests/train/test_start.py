"""What the command has imported when it has taken its first step: what the run needs, alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

UNNEEDED = (
    "datasets",
    "jinja2",
    "matplotlib",
    "onnx",
    "pandas",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
    "timm",
    "torchmetrics",
    "torchvision",
)
"""Libraries that take a tenth of a second and more to import, and that other runs need."""

CODE = """
import os
import sys
from trickbag.cli import main
from trickbag.train import trainer

train_on = trainer.train_on

def first_step(*arguments):
    train_on(*arguments)
    print("imported:", *({unneeded} & set(sys.modules)), flush=True)
    os._exit(0)

trainer.train_on = first_step
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_the_first_step_of_a_run_on_the_digits(tmp_path: Path) -> None:
    arguments = ["train", "--set", "model.width_factor=0.125", "--set", "training.threads=1"]
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(unneeded=set(UNNEEDED)), *arguments, "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"
