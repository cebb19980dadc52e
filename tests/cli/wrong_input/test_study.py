"""The command `study`."""

from __future__ import annotations

from tests.cli.wrong_input.lines import Check, wrong_lines

STUDY = [
    ("study smalll", ["no recipe 'smalll'", "bag_of_tricks"]),
    ("study --data {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    ("study --data {tmp}/one_class", ["one class only"]),
    (
        "study --design ablation",
        ["--design 'ablation'", "cumulative, factorial, leave-one-out, one-at-a-time"],
    ),
    ("study --tricks mixpu", ["no trick 'mixpu'", "mixup"]),
    ("study --tricks pca_noise", ["no trick 'pca_noise'", "it has:", "mixup"]),
    ("study --design cumulative --tricks mixpu", ["no trick 'mixpu'", "did you mean mixup"]),
    ("study --tricks mixup,mixup", ["mixup", "2 times"]),
    ("study --tricks mixup,", ["--tricks 'mixup,'", "names with commas between them"]),
    ("study --tricks=", ["--tricks ''", "names with commas between them"]),
    (
        "study baseline --without color_jitter --without pca_noise",
        ["no tricks to study", "--with TRICK"],
    ),
    ("study --models resnet51", ["no model 'resnet51'", "timm:NAME"]),
    ("study --models timm:resnet5O", ["timm has no network 'resnet5O'"]),
    ("study --models resnet18,resnet18", ["resnet18", "twice"]),
    ("study --levels mixup.alpha", ["mixup.alpha", "="]),
    ("study --levels mixup.alpah=1", ["no setting 'alpah'", "alpha"]),
    ("study --levels mixup.alpha=0.1,x", ["mixup.alpha = 'x'", "number"]),
    ("study --levels mixup.alpha=-1", ["mixup.alpha = -1.0", "above 0"]),
    ("study --levels cutmax.alpha=1", ["cutmax", "not studied"]),
    ("study --design factorial --levels mixup.alpha=1", ["--levels", "factorial"]),
    ("study --levels training.lr", ["'training.lr'", "PATH=VALUE,VALUE"]),
    ("study --levels training.ler=1", ["no setting 'ler'", "it has:", "lr"]),
    ("study --levels training.lr=0.1,x", ["training.lr = 'x'", "above 0"]),
    ("study --levels model=resnet51", ["no model 'resnet51'", "timm:NAME"]),
    ("study --levels model=resnet34 --models resnet18", ["model=resnet34", "models = resnet18"]),
    ("study --levels data.split_seed=1,2", ["data.split_seed", "same images", "image_size"]),
    ("study --levels data.val_fraction=0.1", ["data.val_fraction", "same images"]),
    ("study --levels training.threads=1,2", ["training.threads", "--set training.threads"]),
    ("study --levels training.init={run}", ["training.init", "--backbone LABEL=RUN"]),
    ("study --levels seed=1,2", ["differ in seed", "--seeds N"]),
    ("study --design factorial --levels training.lr=1", ["--levels", "factorial"]),
    ("study --design factorial --tricks mixup", ["2 to 12 tricks", "--tricks"]),
    ("study --design factorial --resolution 6", ["--resolution = '6'", "3, 4, 5"]),
    ("study --resolution 4", ["--resolution", "factorial", "leave-one-out"]),
    *[(f"study --seeds {value}", ["--seeds", value, "at least 1"]) for value in ("0", "-1")],
    *[(f"study --seeds {value}", ["--seeds", value, "whole number"]) for value in ("x", "1.5")],
    *[
        (f"study --margin {value}", ["--margin", value])
        for value in ("0", "-1", "x", "nan", "1e+99")
    ],
    *[(f"study --max-seeds {value}", ["--max-seeds", value]) for value in ("0", "1", "x", "2.5")],
    ("study --seeds 6 --max-seeds 5", ["seeds = 6", "max_seeds = 5"]),
    ("study --until-settled --add-seeds 2 --max-seeds 9", ["--until-settled", "--add-seeds"]),
    ("study --until-settled --max-seeds 9 --seeds 1", ["seeds = 1", "at least 2"]),
    ("study --until-settled", ["until_settled needs max_seeds"]),
    ("study --until-settled --max-seeds 9 --shard 1/2", ["until_settled", "shard"]),
    *[(f"study --folds {value}", ["--folds", value]) for value in ("0", "1", "x", "101")],
    *[(f"study --folds 3 --splits {value}", ["--splits", value]) for value in ("0", "x", "101")],
    ("study --splits 2", ["splits = 2", "--folds K"]),
    ("study --folds 3 --max-seeds 9", ["max_seeds", "folds", "no new splits"]),
    ("study --folds 3 --until-settled --max-seeds 9", ["folds exclude each other"]),
    ("study --folds 3 --tune training.lr=1x,2x", ["tuning and folds", "--set"]),
    ("study --folds 3 --outcome test_top1", ["test_top1", "choose top1"]),
    ("study --folds 3 --set data.folds=3 --set data.fold=1", ["names fold 1 of 3"]),
    ("study --folds 3 --set data.folds=4", ["names fold 0 of 4"]),
    ("study --folds 3 --set data.inner_folds=4", ["data.inner_folds = 4"]),
    ("study --add-seeds 0", ["--add-seeds", "at least 1"]),
    ("study --retries -1", ["--retries", "at least 0"]),
    ("study --workers 0", ["--workers", "at least 1"]),
    ("study --trials-per-gpu 0", ["--trials-per-gpu", "at least 1"]),
    ("study --trials-per-gpu 2 --workers 2", ["workers = 2", "trials_per_gpu = 2", "one of them"]),
    (
        "study --trials-per-gpu 3 --executor ray",
        ["--trials-per-gpu 3", "--executor local", "--gpus 0.5"],
    ),
    ("study --outcome top2", ["top2", "top1", "loss"]),
    ("study --executor slurm", ["--executor 'slurm'", "local, ray"]),
    *[
        (f"study --{option}", [option.split()[0], "--executor ray"])
        for option in ("address auto", "cpus 2", "gpus 1")
    ],
    ("study --executor ray --cpus 0", ["--cpus", "above 0"]),
    *[
        (f"study --budget {value}", ["--budget", value, "2h"])
        for value in ("soon", "2", "0h", "2h3")
    ],
    *[(f"study --shard {value}", ["--shard", value]) for value in ("2", "0/2", "3/2", "1/x")],
    ("study --keep-weights some", ["--keep-weights = 'some'", "none, full, all"]),
    (
        "study --design cumulative --keep-weights full",
        ["keep_weights = full", "cumulative", "none or all"],
    ),
    ("study --dry-run --sd -1", ["--sd", "at least 0"]),
    ("study --outcome mean_corruption", ["'mean_corruption'", "mean_corruption_error", "mce"]),
    ("study --outcome top1,", ["--outcome", "names with commas"]),
    ("study --outcome top1,top1", ["'top1' is named twice"]),
    ("study --outcome mce", ["'mce' is not defined for 10 classes"]),
    ("study --outcome-images 5", ["outcome_images", "mean_corruption_error", "not top1"]),
    ("study --outcome shift_consistency --outcome-images 0", ["--outcome-images", "at least 1"]),
    ("study --outcome max_box_acc", ["'max_box_acc'", "--localization DIR"]),
    (
        "study --outcome max_box_acc --localization {tmp}/absent",
        ["{tmp}/absent", "no such folder"],
    ),
    ("study --localization {tmp}", ["localization", "max_box_acc"]),
    ("study --out {tmp}/notes.txt", ["notes.txt"]),
    ("study --out {run}", ["{run}", "holds no study", "--out"]),
    ("study --out {tmp}/broken_study", ["broken_study/study.json"]),
    ("study small baseline", ["--out DIR"]),
    ("study {run} {kaggle} --out new", ["{run} is no study", "study.json"]),
    ("study --model timm:resnet5O", ["timm has no network 'resnet5O'"]),
    ("study --seed 3", ["--seed"]),
    ("study --backbone scratch", ["two arms, and has scratch", "--backbone LABEL=RUN"]),
    ("study --backbone a={run} --backbone a={kaggle}", ["two backbones are called a"]),
    ("study --backbone a={run} --backbone {tmp}/absent", ["no backbone", "absent", "run, file"]),
    ("study --backbone a={run} --backbone b={tmp}/empty", ["{tmp}/empty is no run"]),
    ("study --backbone a={run} --backbone b={run},", ["a comma has no backbone"]),
    (
        "study --seeds 3 --backbone a={run},{run} --backbone scratch",
        ["seeds = 3: a has 2 runs", "take 2 seeds"],
    ),
    *[
        (
            f"study --backbone a={{run}} --backbone scratch --{option}",
            [f"--{option.split()[0]} and --backbone exclude each other"],
        )
        for option in (
            "tricks mixup",
            "design cumulative",
            "model resnet18",
            "models resnet18",
            "init x.safetensors",
            "pretrained",
        )
    ],
    ("study --tune training.lr", ["tune 'training.lr'", "PATH=VALUE,VALUE"]),
    ("study --tune training.lr=1x,,3x", ["tune 'training.lr=1x,,3x'", "PATH=VALUE,VALUE"]),
    ("study --tune training.lr=x", ["training.lr = 'x'", "above 0"]),
    ("study --tune training.lrr=1x", ["no setting 'lrr'", "lr"]),
    ("study --tune training.clip_norm=2x", ["training.clip_norm", "none", "values in the place"]),
    ("study --tune training.lr=1x --tune training.lr=2x", ["training.lr twice", "at once"]),
    ("study --tune training.lr=1x --levels training.lr=1", ["training.lr is tuned", "level too"]),
    ("study --tune data.split_seed=1,2", ["data.split_seed", "same images"]),
    ("study --tune seed=1,2", ["differ in seed", "--seeds N"]),
    ("study --tune mixpu.alpha=1", ["no trick 'mixpu'", "mixup"]),
    ("study --tune mixup.alpah=1", ["no setting 'alpah'", "alpha"]),
    ("study --tune cutmix.alpha=1,2", ["cutmix.alpha", "no arm has the trick"]),
    ("study --tune training.lr=1x --shard 1/2", ["tuning", "shard"]),
    ("study --tune training.lr=1x --set data.inner_folds=5", ["data.inner_folds = 5", "leave"]),
    ("study --tune-seeds 2", ["--tune-seeds is for --tune", "--tune training.lr"]),
    *[
        (f"study --tune training.lr=1x --tune-seeds {value}", ["--tune-seeds", value])
        for value in ("0", "-1", "x", "1.5", "99999")
    ],
    (
        "study --tune training.lr=1x,2x --backbone a={run},{run} --backbone scratch",
        ["a starts each seed", "--tune"],
    ),
    ("study --against absent.yaml", ["--against 'absent.yaml'", "No such file"]),
    ("study --against rsb_a9", ["--against 'rsb_a9'", "no recipe 'rsb_a9'", "baseline"]),
    ("study --against =baseline", ["--against '=baseline'", "LABEL=RECIPE"]),
    ("study --against small", ["two recipes are called small", "LABEL=RECIPE"]),
    ("study --against a=small --against a=baseline", ["two recipes are called a", "LABEL=RECIPE"]),
    ("study --against detection", ["detection", "small", "same data and task"]),
    ("study --against a={run} --backbone scratch", ["--backbone and --against exclude"]),
    *[
        (f"study --against baseline --{option}", [f"--{option.split()[0]} and --against exclude"])
        for option in (
            "tricks mixup",
            "design cumulative",
            "levels training.lr=1",
            "models resnet18",
            "resolution 4",
        )
    ],
    (
        "study --backbone a={run} --backbone scratch --set model.width_factor=0.5",
        ["--set model.width_factor and --backbone exclude each other"],
    ),
]


@wrong_lines(STUDY)
def test_wrong_input_is_one_line_and_exit_2(line: str, says: list[str], check: Check) -> None:
    check(line, says)
