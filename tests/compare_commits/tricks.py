"""Runs with each trick."""

from __future__ import annotations

from tests.compare_commits.scenario import BARE, THIN, Scenario, train

__all__ = ["TRICKS", "trick_runs"]

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


def trick_runs() -> tuple[Scenario, ...]:
    """Return two runs for each trick, with its own defaults and with the settings of the table."""
    every = []
    for trick, (settings, model) in TRICKS.items():
        text = f"{BARE} --model {model} {THIN}" if model else BARE
        taught = trick == "distillation"
        default = "distillation:teacher=shapes/run" if taught else trick
        steps = [train(f"trick-{trick}/default", f"{text} --with {default}")]
        if settings:
            steps.append(train(f"trick-{trick}/run", f"{text} --with {trick}:{settings}"))
        what = f"{trick} with its defaults, and {settings}" if settings else trick
        needs = ("shapes",) if taught else ()
        every.append(Scenario(f"trick-{trick}", what, tuple(steps), needs, trick=trick))
    return tuple(every)
