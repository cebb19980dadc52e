"""What is run under each commit, as a table of command lines; nothing of trickbag is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["TRICKS", "Scenario", "Step", "scenarios"]

How = Literal["call", "process", "torchrun", "stop", "copy"]


@dataclass(frozen=True)
class Step:
    """One thing that a scenario does, in the folder that holds the data and all scenarios.

    `how`: `call` runs a command in the process of all scenarios, `process` in one of its own,
    `torchrun` in two that train together; `stop` sends SIGTERM to one once the file `until` is
    there; `copy` copies the folder that comes first in `text` to the second. `output` is the file
    that takes what the command prints. `other_exit_code` is one that a commit may give too.
    """

    text: str
    how: How = "call"
    exit_code: int = 0
    other_exit_code: int | None = None
    output: str = ""
    until: str = ""


@dataclass(frozen=True)
class Scenario:
    """Steps that leave files in a folder of the scenario's name.

    `needs` are scenarios whose folders it reads. `reads_before` says that AFTER runs it once more,
    on what BEFORE left. `alike` are pairs of runs or studies of one commit that must be equal.
    `trick` is the trick that has to be there. `compared` is False where what is left depends on
    when a signal came.
    """

    name: str
    what: str
    steps: tuple[Step, ...]
    needs: tuple[str, ...] = ()
    reads_before: bool = False
    alike: tuple[tuple[str, str], ...] = ()
    trick: str = ""
    compared: bool = True


CPU = "--device cpu --set training.threads=1"
THIN = "--set model.width_factor=0.25"
QUICK = f"{CPU} --set data.workers=0 --image-size 16 --batch-size 8"
SHAPES = f"--data data/shapes {QUICK}"
BARE = f"data/bare.yaml {SHAPES} --epochs 2"
SMALL = f"small {SHAPES} {THIN}"
"""The recipe `small` at a width at which a run takes about a second."""

LAYERS = "--with drop_block --with stochastic_depth --with dropout"
"""Layers that draw for themselves."""

TRICKS: dict[str, tuple[str, str]] = {
    "activation": ("function=gelu", ""),
    "anti_alias": ("filter=2,places=branch,shortcut", ""),
    "asymmetric": ("gamma_neg=2", ""),
    "aug_mix": ("severity=5", ""),
    "auto_augment": ("version=assemble", ""),
    "balanced_sampling": ("power=0.5", ""),
    "bce": ("reduction=mean", ""),
    "big_little": ("alpha=4,beta=2", "resnet50"),
    "class_weights": ("by=given,weights=0.5,1.0,2.0", ""),
    "color_jitter": ("form=code,strength=0.3", ""),
    "compound_scaling": ("alpha=1.5,beta=1.0,gamma=1.25", ""),
    "cosine_decay": ("", ""),
    "cutmix": ("alpha=0.7,lam=pair", ""),
    "cutout": ("side=0.3", ""),
    "dihedral": ("turns=false", ""),
    "distillation": ("teacher=shapes/run,form=code", ""),
    "drop_block": ("keep_prob=0.5,images=each", ""),
    "dropout": ("drop_prob=0.3", ""),
    "ema": ("decay=0.5,warmup=false", ""),
    "exponential_decay": ("factor=0.9,every_epochs=0.5", ""),
    "focal": ("gamma=3", ""),
    "label_smoothing": ("smoothing=0.2,definition=others", ""),
    "layer_decay": ("decay=0.5", ""),
    "linear_scaling": ("reference_batch=100", ""),
    "mixed_precision": ("dtype=bf16", ""),
    "mixup": ("alpha=0.5,lam=pair", ""),
    "mixup_cutmix": ("per=image,prob=0.9", ""),
    "no_bias_decay": ("free=norm", ""),
    "pca_noise": ("std=0.2", ""),
    "poly_decay": ("power=2.0", ""),
    "progressive_resizing": ("stages=2", ""),
    "rand_augment": ("magnitude=15", ""),
    "random_erasing": ("prob=0.9", ""),
    "repeated_augmentation": ("times=2", ""),
    "resnet_b": ("", "resnet50_a"),
    "resnet_c": ("", ""),
    "resnet_d": ("", ""),
    "sam": ("rho=0.1,adaptive=true", ""),
    "selective_kernel": ("form=split", "bl_resnet50"),
    "squeeze_excite": ("reduction=8", ""),
    "step_decay": ("factor=0.2,at=0.5", ""),
    "stochastic_depth": ("drop_prob=0.3", ""),
    "swa": ("start=0,lr=0.3", ""),
    "three_augment": ("color_jitter=0.5", ""),
    "trivial_augment": ("bins=11", ""),
    "warmup": ("epochs=0.5", ""),
    "zero_init_residual": ("", ""),
}
"""Settings of every trick, those of its contract test, and its network where that is another."""


def scenarios() -> tuple[Scenario, ...]:
    """Return all scenarios, those that others need first."""
    runs = (*_runs(), *_trick_runs(), *_composed_runs(), *_stopped_runs())
    return (*runs, *_studies(), *_readers())


def _train(out: str, text: str, how: How = "call", exit_code: int = 0) -> Step:
    """Train a run into the folder `out`."""
    return Step(f"train {text} --out {out}", how, exit_code)


def _run(name: str, what: str, text: str, needs: tuple[str, ...] = ()) -> Scenario:
    """Return the scenario of one run."""
    return Scenario(name, what, (_train(f"{name}/run", text),), needs)


def _runs() -> tuple[Scenario, ...]:
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
                _train("shapes/run", f"{SMALL} --epochs 4 --seed 3"),
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
        _run("digits", "recipe small on the built-in digits, one epoch", f"small {CPU} --epochs 1"),
        Scenario(
            "parts",
            "train, val and test parts, every form of file; worker processes",
            (
                _train("parts/run", f"small --data data/parts {small}"),
                _train("parts/workers", f"small --data data/parts {small} --set data.workers=2"),
            ),
        ),
        Scenario(
            "one_label",
            "a CSV of Kaggle's form; predict from a CSV",
            (
                _train("one_label/run", f"small --data data/one/train.csv {small}"),
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
                _train("many_labels/run", f"{many} --epochs 3"),
                Step("evaluate many_labels/run --json", output="many_labels/evaluate.json"),
                Step("predict many_labels/run data/many/images --csv many_labels/predicted.csv"),
                _train(
                    "many_labels/mixed",
                    f"{many} --with class_weights --with cutmix --without mixup",
                ),
                _train(
                    "many_labels/distilled",
                    f"{many} --with distillation:teacher=many_labels/run,form=kl",
                ),
            ),
        ),
        Scenario(
            "damaged",
            "files that do not decode: data_errors.csv, the doctor, too many of them",
            (
                _train("damaged/run", f"small --data data/damaged {small} {bad}=0.5"),
                _train("damaged/end", f"small --data data/damaged {small} {bad}=0.01", exit_code=1),
                # Copies among the images end the doctor with 1; earlier commits did not look.
                Step(
                    f"doctor data/damaged {bad}=0.5 --json",
                    other_exit_code=1,
                    output="damaged/doctor.json",
                ),
            ),
        ),
    )


def _trick_runs() -> tuple[Scenario, ...]:
    """Return two runs for each trick, with its own defaults and with the settings of the table."""
    every = []
    for trick, (settings, model) in TRICKS.items():
        text = f"{BARE} --model {model} {THIN}" if model else BARE
        taught = trick == "distillation"
        default = "distillation:teacher=shapes/run" if taught else trick
        steps = [_train(f"trick-{trick}/default", f"{text} --with {default}")]
        if settings:
            steps.append(_train(f"trick-{trick}/run", f"{text} --with {trick}:{settings}"))
        what = f"{trick} with its defaults, and {settings}" if settings else trick
        needs = ("shapes",) if taught else ()
        every.append(Scenario(f"trick-{trick}", what, tuple(steps), needs, trick=trick))
    return tuple(every)


def _composed_runs() -> tuple[Scenario, ...]:
    """Return runs in which tricks, training settings and networks act together."""
    teacher = "--with distillation:teacher=shapes/run"
    taught = f"small {SHAPES} --epochs 3 {teacher}"
    short = f"{SHAPES} {THIN} --epochs 2"
    parts = f"{SMALL} --epochs 2 {LAYERS} --set training.accumulate=2"
    ladder = f"--data data/shapes {CPU} {THIN} --set data.workers=0 --image-size 32 --batch-size 8"
    return (
        _run(
            "distill_online",
            "a teacher asked about every batch, with mixup",
            f"{taught},view=online",
            ("shapes",),
        ),
        _run(
            "distill_centre",
            "stored logits of centre crops",
            f"{taught},view=centre,form=assemble,top=2",
            ("shapes",),
        ),
        _run(
            "distill_replay",
            "stored logits of two epochs' crops",
            f"{taught},view=replay,views=2",
            ("shapes",),
        ),
        _run(
            "resizing",
            "progressive resizing with CutMix and EMA",
            f"{BARE} --epochs 3 --with progressive_resizing:stages=2 --with cutmix --with ema",
        ),
        _run("averaged", "EMA with mixup and smoothing", f"{SMALL} --epochs 3 --with ema"),
        Scenario(
            "accumulated",
            "two parts a batch, with layers that draw; SAM in two parts",
            (
                _train("accumulated/run", parts),
                _train("accumulated/sam", f"{parts} --with sam"),
            ),
        ),
        Scenario(
            "processes",
            "torchrun: two processes on the CPU, with mixup and layers that draw",
            (_train("processes/run", f"{SMALL} --epochs 2 {LAYERS}", how="torchrun"),),
        ),
        _run(
            "mixed_double",
            "mixup of twice the images, a weight for each pair, off at the end",
            f"{BARE} --with mixup:lam=pair,pairing=double,off_epochs=1 --with label_smoothing",
        ),
        _run(
            "mixed_halves",
            "mixup of halves, with colour",
            f"{BARE} --with mixup:pairing=halves --with color_jitter",
        ),
        _run(
            "balanced",
            "balanced sampling, mixup and CutMix by image, erasing",
            f"{BARE} --with balanced_sampling:power=0 --with mixup_cutmix:per=image"
            " --with random_erasing --with label_smoothing",
        ),
        _run(
            "weighted",
            "class weights under smoothing and CutMix",
            f"{BARE} --with class_weights:by=effective_number --with label_smoothing --with cutmix",
        ),
        _run(
            "views",
            "AugMix with its views, mixup, two parts a batch",
            f"{BARE} --with aug_mix --with mixup --set training.accumulate=2",
        ),
        _run(
            "regularised",
            "all that drops, a policy, colour, attention; recomputed blocks",
            f"{BARE} {LAYERS} --with rand_augment --with color_jitter --with pca_noise"
            " --with squeeze_excite --set training.gradient_checkpointing=true",
        ),
        _run(
            "finetuned",
            "AdamW, layer decay, clipping, weights from a run",
            f"finetune --model resnet18_d {short} --set model.small_stem=auto --init shapes/run",
            ("shapes",),
        ),
        _run(
            "rmsprop",
            "RMSProp and exponential decay",
            f"{BARE} --with exponential_decay --set training.optimizer=rmsprop"
            " --set training.lr=0.01 --set training.clip_norm=1",
        ),
        _run(
            "mobilenet",
            "MobileNet with squeeze-excitation",
            f"{BARE} --model mobilenet_v1 {THIN} --with squeeze_excite --with dropout"
            " --with cosine_decay --with warmup:epochs=1",
        ),
        _run(
            "of_timm",
            "a network of timm with a slot filled",
            f"{BARE} --model timm:test_resnet --with activation --with mixup",
        ),
        _run("baseline", "recipe baseline", f"baseline {short}"),
        _run("efficient", "recipe efficient", f"efficient {short}"),
        _run(
            "bag_of_tricks",
            "recipe bag_of_tricks with a teacher",
            f"bag_of_tricks {short} {teacher}",
            ("shapes",),
        ),
        _run(
            "ladder",
            "Assemble-ResNet-50 with its teacher's stored logits",
            f"assemble_e11 {ladder} --epochs 1 {teacher},form=assemble,view=centre",
            ("shapes",),
        ),
    )


STOPPED = f"train {SMALL} --epochs 12 --seed 5 --with drop_block --with ema --with dropout"
"""A run that is long enough to be stopped after its first epoch."""


def _stopped_runs() -> tuple[Scenario, ...]:
    """Return a run, and the same one stopped by SIGTERM."""
    stop = Step(f"{STOPPED} --out stopped/run", "stop", 75, until="stopped/run/metrics.jsonl")
    return (
        Scenario("whole", "a run that is never stopped", (Step(f"{STOPPED} --out whole/run"),)),
        Scenario("stopped", "the same run stopped by SIGTERM", (stop,), compared=False),
    )


LEAVE_ONE_OUT = (
    f"study {SMALL} --epochs 1 --workers 2 --seeds 2 --design leave-one-out"
    " --tricks mixup,label_smoothing,linear_scaling,resnet_d"
)
FACTORIAL = (
    # At 8 px the smallest size of the resizing is the whole one: it acts beside the scaling alone.
    f"study {BARE} {THIN} --image-size 8 --workers 2 --seeds 3 --design factorial"
    " --tricks compound_scaling,progressive_resizing"
    " --with compound_scaling:alpha=1,beta=1,gamma=2 --with progressive_resizing:stages=2"
)
LEVELS = (
    f"study {BARE} --workers 2 --seeds 1 --design one-at-a-time --outcome loss"
    " --models timm:test_resnet,timm:test_efficientnet"
    " --tricks mixup,resnet_d,ema --levels mixup.alpha=0.1,0.4"
)
CUMULATIVE = (
    f"study {SMALL} --epochs 1 --workers 2 --seeds 2 --design cumulative --without mixup"
    " --tricks label_smoothing,cosine_decay,cutmix"
)


def _studies() -> tuple[Scenario, ...]:
    """Return studies of several designs."""
    merged = "study_cumulative"
    stop = f"{LEAVE_ONE_OUT} --out study_stopped/out"
    return (
        Scenario(
            "study",
            "leave-one-out of four tricks, two seeds",
            (Step(f"{LEAVE_ONE_OUT} --out study/out", "process"),),
        ),
        Scenario(
            "study_factorial",
            "2 x 2 x 3 seeds; one trick does nothing in one of two variants",
            (Step(f"{FACTORIAL} --out study_factorial/out", "process"),),
        ),
        Scenario(
            "study_levels",
            "one at a time on two networks, levels, one that does not apply, outcome loss",
            (Step(f"{LEVELS} --out study_levels/out", "process"),),
        ),
        Scenario(
            merged,
            "cumulative, in two shards that are merged",
            (
                Step(f"{CUMULATIVE} --shard 1/2 --out {merged}/part1", "process"),
                Step(f"{CUMULATIVE} --shard 2/2 --out {merged}/part2", "process"),
                Step(f"study {merged}/part1 {merged}/part2 --out {merged}/out"),
            ),
        ),
        Scenario(
            "study_stopped",
            "the first study stopped by SIGTERM",
            (Step(stop, "stop", 75, until="study_stopped/out/results.jsonl"),),
            compared=False,
        ),
    )


def _readers() -> tuple[Scenario, ...]:
    """Return what is done with runs, weights and studies that are there."""
    weights = "read_run/run/best.safetensors"
    again = f"train {SMALL} --seed 3 --out read_run/run --resume"
    return (
        Scenario(
            "read_run",
            "a finished run: resumed, evaluated, predicted with, reported, exported, trained from",
            (
                Step("shapes/run read_run/run", "copy"),
                Step(f"{again} --epochs 4"),
                Step(f"{again} --epochs 5", exit_code=2),
                Step("evaluate read_run/run --json", output="read_run/evaluate.json"),
                Step(f"evaluate {weights} --data data/parts --json", output="read_run/other.json"),
                Step("predict read_run/run data/parts/test --csv read_run/all.csv --probabilities"),
                Step("report read_run/run --out read_run/report.html"),
                Step("report read_run/run averaged/run --out read_run/compared.html"),
                Step(f"export {weights} --format safetensors --out read_run/out.safetensors"),
                _train("read_run/again", f"read_run/run {CPU} --seed 3"),
                _train("read_run/init", f"{SMALL} --epochs 1 --init {weights}"),
                _train(
                    "read_run/taught",
                    f"{SMALL} --epochs 1 --with distillation:teacher={weights},view=centre",
                ),
            ),
            needs=("shapes", "averaged"),
            reads_before=True,
            alike=(("shapes/run", "read_run/run"), ("shapes/run", "read_run/again")),
        ),
        Scenario(
            "read_stopped",
            "a stopped run goes on, and is the run that was never stopped",
            (
                Step("stopped/run read_stopped/run", "copy"),
                Step(f"{STOPPED} --out read_stopped/run --resume"),
            ),
            needs=("whole", "stopped"),
            reads_before=True,
            alike=(("whole/run", "read_stopped/run"),),
        ),
        Scenario(
            "read_studies",
            "finished studies: the same commands run no trial; reports",
            (
                Step("study/out read_studies/one", "copy"),
                Step("study_factorial/out read_studies/factorial", "copy"),
                Step(f"{LEAVE_ONE_OUT} --out read_studies/one"),
                Step(f"{FACTORIAL} --out read_studies/factorial"),
                Step("report read_studies/factorial"),
                Step("report read_studies/one --format json", output="read_studies/table.json"),
            ),
            needs=("study", "study_factorial"),
            reads_before=True,
            alike=(
                ("study/out", "read_studies/one"),
                ("study_factorial/out", "read_studies/factorial"),
            ),
        ),
        Scenario(
            "read_stopped_study",
            "a stopped study goes on, and is the study that was never stopped",
            (
                Step("study_stopped/out read_stopped_study/out", "copy"),
                Step(f"{LEAVE_ONE_OUT} --out read_stopped_study/out", "process"),
            ),
            needs=("study", "study_stopped"),
            reads_before=True,
            alike=(("study/out", "read_stopped_study/out"),),
        ),
    )
