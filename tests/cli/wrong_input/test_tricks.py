"""Tricks that do not exist, exclude each other or have wrong settings, and wrong teachers."""

from __future__ import annotations

from tests.cli.wrong_input.lines import Check, wrong_lines

TRICKS = [
    ("train --with mixpu", ["no trick 'mixpu'", "did you mean mixup"]),
    ("train --with nowhere.tricks:Mine", ["cannot import 'nowhere.tricks'"]),
    ("train --with trickbag.errors:UserError", ["is no trick", "subclass"]),
    ("train --without pca_noise", ["no trick 'pca_noise'", "it has:", "mixup"]),
    ("train --with step_decay", ["step_decay and cosine_decay exclude each other", "--without"]),
    ("train --with mixup:alpah=1", ["mixup has no setting 'alpah'", "alpha"]),
    ("train --with mixup:alpha", ["'alpha' is not of the form key=value"]),
    ("train --with mixup:alpha=x", ["mixup.alpha = 'x'", "number"]),
    ("train --with mixup:alpha=-1", ["mixup.alpha = -1.0", "above 0"]),
    (
        "train --with label_smoothing:definition=gluon",
        ["definition = 'gluon'", "one of uniform, others"],
    ),
    (
        "train --with repeated_augmentation:times=1",
        ["repeated_augmentation.times = 1", "from 2 to 100"],
    ),
    ("train --with rand_augment:version=kornia", ["version = 'kornia'", "torchvision, timm"]),
]

DISTILLATION = [
    ("train --with distillation", ["distillation has no teacher", "teacher=RUN"]),
    (
        "train patient_teacher --model resnet18 --image-size 16",
        ["distillation has no teacher", "--set tricks.distillation.teacher=RUN"],
    ),
    (
        "train --with distillation:teacher={tmp}/absent",
        ["no file or folder", "absent", "the folder of a run"],
    ),
    (
        "train --with distillation:teacher={tmp}/empty",
        ["{tmp}/empty is no run", "best.safetensors"],
    ),
    (
        "train --with distillation:teacher=timm:resnet5O",
        ["timm:resnet5O", "no such network", "list_pretrained"],
    ),
    (
        "train --with distillation:teacher={run}",
        ["does not know the classes 0, 1, 2 and 7 more", "it knows one, three, zero"],
    ),
    (
        "train --with distillation:teacher={run},view=left",
        ["view = 'left'", "online, centre, replay"],
    ),
    ("train --with distillation:teacher={run},weight=2", ["weight = 2", "from 0 (excluded) to 1"]),
    ("train --with distillation:teacher={run},weight=0", ["weight = 0", "from 0 (excluded) to 1"]),
]


@wrong_lines(TRICKS, DISTILLATION)
def test_wrong_input_is_one_line_and_exit_2(line: str, says: list[str], check: Check) -> None:
    check(line, says)
