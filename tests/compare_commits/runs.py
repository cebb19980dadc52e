"""Runs on each kind of data, of tricks and settings together, and one that is stopped."""

from __future__ import annotations

from tests.compare_commits.scenario import (
    BARE,
    CPU,
    LAYERS,
    QUICK,
    SHAPES,
    SMALL,
    THIN,
    Scenario,
    Step,
    run,
    train,
)

__all__ = ["STOPPED", "composed_runs", "data_runs", "stopped_runs"]

STOPPED = f"train {SMALL} --epochs 12 --seed 5 --with drop_block --with ema --with dropout"
"""A run that is long enough to be stopped after its first epoch."""


def data_runs() -> tuple[Scenario, ...]:
    """Return runs on each kind of data, and what is made of them."""
    small = f"{QUICK} {THIN} --epochs 2"
    many = f"small --data data/many/labels.csv --image-root data/many/images {small}"
    many += " --set data.multi_label=true"
    bad = "--set data.max_bad_fraction"
    return (
        Scenario(
            "shapes",
            "recipe small on a folder; evaluate, predict, export",
            (
                train("shapes/run", f"{SMALL} --epochs 4 --seed 3"),
                Step("evaluate shapes/run --json", output="shapes/evaluate.json"),
                Step(
                    "evaluate shapes/run --data data/parts --part test --json",
                    output="shapes/other.json",
                ),
                Step("predict shapes/run data/parts/test --csv shapes/all.csv --probabilities"),
                Step("predict shapes/run data/damaged --csv shapes/top2.csv --top 2"),
                Step("export shapes/run --format safetensors --out shapes/exported.safetensors"),
            ),
        ),
        run("digits", "recipe small on the built-in digits, one epoch", f"small {CPU} --epochs 1"),
        Scenario(
            "parts",
            "train, val and test parts, every form of file; worker processes",
            (
                train("parts/run", f"small --data data/parts {small}"),
                train("parts/workers", f"small --data data/parts {small} --set data.workers=2"),
            ),
        ),
        Scenario(
            "one_label",
            "a CSV of Kaggle's form; predict from a CSV",
            (
                train("one_label/run", f"small --data data/one/train.csv {small}"),
                Step(
                    "predict one_label/run data/one/sample.csv --image-root data/one/train"
                    " --csv one_label/submission.csv"
                ),
            ),
        ),
        Scenario(
            "many_labels",
            "several labels an image; evaluate, predict; with mixing and weights; distilled",
            (
                train("many_labels/run", f"{many} --epochs 3"),
                Step("evaluate many_labels/run --json", output="many_labels/evaluate.json"),
                Step("predict many_labels/run data/many/images --csv many_labels/predicted.csv"),
                train(
                    "many_labels/mixed",
                    f"{many} --with class_weights --with cutmix --without mixup",
                ),
                train(
                    "many_labels/distilled",
                    f"{many} --with distillation:teacher=many_labels/run,form=kl",
                ),
            ),
        ),
        Scenario(
            "damaged",
            "files that do not decode: data_errors.csv, the doctor, too many of them",
            (
                train("damaged/run", f"small --data data/damaged {small} {bad}=0.5"),
                train("damaged/end", f"small --data data/damaged {small} {bad}=0.01", exit_code=1),
                # Copies among the images end the doctor with 1; earlier commits did not look.
                Step(
                    f"doctor data/damaged {bad}=0.5 --json",
                    other_exit_code=1,
                    output="damaged/doctor.json",
                ),
            ),
        ),
    )


def composed_runs() -> tuple[Scenario, ...]:
    """Return runs in which tricks, training settings and networks act together."""
    teacher = "--with distillation:teacher=shapes/run"
    taught = f"small {SHAPES} --epochs 3 {teacher}"
    short = f"{SHAPES} {THIN} --epochs 2"
    parts = f"{SMALL} --epochs 2 {LAYERS} --set training.accumulate=2"
    ladder = f"--data data/shapes {CPU} {THIN} --set data.workers=0 --image-size 32 --batch-size 8"
    return (
        run(
            "distill_online",
            "a teacher asked about every batch, with mixup",
            f"{taught},view=online",
            ("shapes",),
        ),
        run(
            "distill_centre",
            "stored logits of centre crops",
            f"{taught},view=centre,form=assemble,top=2",
            ("shapes",),
        ),
        run(
            "distill_replay",
            "stored logits of two epochs' crops",
            f"{taught},view=replay,views=2",
            ("shapes",),
        ),
        run(
            "resizing",
            "progressive resizing with CutMix and EMA",
            f"{BARE} --epochs 3 --with progressive_resizing:stages=2 --with cutmix --with ema",
        ),
        run("averaged", "EMA with mixup and smoothing", f"{SMALL} --epochs 3 --with ema"),
        Scenario(
            "accumulated",
            "two parts a batch, with layers that draw; SAM in two parts",
            (
                train("accumulated/run", parts),
                train("accumulated/sam", f"{parts} --with sam"),
            ),
        ),
        Scenario(
            "processes",
            "torchrun: two processes on the CPU, with mixup and layers that draw",
            (train("processes/run", f"{SMALL} --epochs 2 {LAYERS}", how="torchrun"),),
        ),
        run(
            "mixed_double",
            "mixup of twice the images, a weight for each pair, off at the end",
            f"{BARE} --with mixup:lam=pair,pairing=double,off_epochs=1 --with label_smoothing",
        ),
        run(
            "mixed_halves",
            "mixup of halves, with colour",
            f"{BARE} --with mixup:pairing=halves --with color_jitter",
        ),
        run(
            "balanced",
            "balanced sampling, mixup and CutMix by image, erasing",
            f"{BARE} --with balanced_sampling:power=0 --with mixup_cutmix:per=image"
            " --with random_erasing --with label_smoothing",
        ),
        run(
            "weighted",
            "class weights under smoothing and CutMix",
            f"{BARE} --with class_weights:by=effective_number --with label_smoothing --with cutmix",
        ),
        run(
            "views",
            "AugMix with its views, mixup, two parts a batch",
            f"{BARE} --with aug_mix --with mixup --set training.accumulate=2",
        ),
        run(
            "regularised",
            "all that drops, a policy, colour, attention; recomputed blocks",
            f"{BARE} {LAYERS} --with rand_augment --with color_jitter --with pca_noise"
            " --with squeeze_excite --set training.gradient_checkpointing=true",
        ),
        run(
            "finetuned",
            "AdamW, layer decay, clipping, weights from a run",
            f"finetune --model resnet18_d {short} --set model.small_stem=auto --init shapes/run",
            ("shapes",),
        ),
        run(
            "rmsprop",
            "RMSProp and exponential decay",
            f"{BARE} --with exponential_decay --set training.optimizer=rmsprop"
            " --set training.lr=0.01 --set training.clip_norm=1",
        ),
        run(
            "mobilenet",
            "MobileNet with squeeze-excitation",
            f"{BARE} --model mobilenet_v1 {THIN} --with squeeze_excite --with dropout"
            " --with cosine_decay --with warmup:epochs=1",
        ),
        run(
            "of_timm",
            "a network of timm with a slot filled",
            f"{BARE} --model timm:test_resnet --with activation --with mixup",
        ),
        run("baseline", "recipe baseline", f"baseline {short}"),
        run("efficient", "recipe efficient", f"efficient {short}"),
        run(
            "bag_of_tricks",
            "recipe bag_of_tricks with a teacher",
            f"bag_of_tricks {short} {teacher}",
            ("shapes",),
        ),
        run(
            "ladder",
            "Assemble-ResNet-50 with its teacher's stored logits",
            f"assemble_e11 {ladder} --epochs 1 {teacher},form=assemble,view=centre",
            ("shapes",),
        ),
    )


def stopped_runs() -> tuple[Scenario, ...]:
    """Return a run, and the same one stopped by SIGTERM."""
    stop = Step(f"{STOPPED} --out stopped/run", "stop", 75, until="stopped/run/metrics.jsonl")
    return (
        Scenario("whole", "a run that is never stopped", (Step(f"{STOPPED} --out whole/run"),)),
        Scenario("stopped", "the same run stopped by SIGTERM", (stop,), compared=False),
    )
