"""Studies of several designs."""

from __future__ import annotations

from tests.compare_commits.scenario import BARE, SMALL, THIN, Scenario, Step

__all__ = ["FACTORIAL", "LEAVE_ONE_OUT", "studies"]

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


def studies() -> tuple[Scenario, ...]:
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
