"""How many more seeds settle an effect, and its bootstrap interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.study.analysis.one_effect import mixup_effect
from tests.study.synthetic_study import leave_one_out, runs
from trickbag.streams import stream
from trickbag.study.analysis.effects import Effect, effects
from trickbag.study.analysis.statistics import (
    bootstrap_interval,
)


def sample(mean: float, sd: float, n: int) -> list[float]:
    """Numbers of exactly this mean and standard deviation."""
    steps = np.arange(n) - (n - 1) / 2
    return [float(x) for x in mean + sd * steps / steps.std(ddof=1)]


@pytest.mark.parametrize(("mean", "sd"), [(0.5, 1.0), (-0.3, 0.7), (0.08, 1.0)])
def test_so_many_more_seeds_settle_an_effect_and_one_fewer_do_not(mean: float, sd: float) -> None:
    def study(n: int) -> list[Effect]:
        # two effects that stay as they are, and a third that is settled already
        values = {
            "full": [0.0] * n,
            "-a": sample(-mean, sd, n),
            "-b": sample(mean / 4, sd, n),
            "-c": sample(9, 0.1, n),
        }
        return effects([leave_one_out(["a", "b", "c"])], runs(values), {})

    now = study(4)
    assert [e.verdict for e in now] == ["undetermined", "undetermined", "hurts"]
    needed = [e.more_seeds for e in now]
    assert needed[0] is not None
    assert needed[0] > 1
    assert needed[2] is None
    assert study(4 + needed[0])[0].verdict == ("helps" if mean > 0 else "hurts")
    assert study(3 + needed[0])[0].verdict == "undetermined"
    weak = stats.t.sf(abs(mean / 4) / sd * np.sqrt(1004), 1003) * 2
    assert (needed[1] is None) == (weak >= 0.05)
    if needed[1] is not None:
        assert study(4 + needed[1])[1].verdict != "undetermined"
        assert study(3 + needed[1])[1].verdict == "undetermined"


def test_an_effect_waits_for_those_before_it() -> None:
    # p = 0.0255 and 0.0277: the second would pass at its own step, but Holm stops at the first.
    n = 8
    values = {"full": [0.0] * n, "-a": sample(-1, 1.0, n), "-b": sample(-0.98, 1.0, n)}
    all_effects = effects([leave_one_out(["a", "b"])], runs(values), {})
    assert all_effects[0].p_raw is not None
    assert all_effects[1].p_raw is not None
    assert 0.025 < all_effects[0].p_raw < all_effects[1].p_raw < 0.05
    assert [e.verdict for e in all_effects] == ["undetermined", "undetermined"]
    assert all_effects[0].more_seeds == all_effects[1].more_seeds
    assert (all_effects[0].more_seeds or 0) >= 1


def test_no_number_of_seeds_settles_a_difference_of_zero() -> None:
    effect = mixup_effect([91.0, 92.0], [92.0, 91.0])
    assert (effect.delta, effect.p, effect.more_seeds) == (0.0, 1.0, None)


def test_eight_pairs_have_a_bootstrap_interval() -> None:
    rng = np.random.default_rng(3)
    full, without = rng.normal(91, 1, 9), rng.normal(90, 1, 9)
    effect = mixup_effect(full.tolist(), without.tolist())
    reference = stats.bootstrap(
        (full - without,),
        np.mean,
        n_resamples=9999,
        method="BCa",
        random_state=stream(0, "bootstrap:mixup"),
    ).confidence_interval
    assert effect.bootstrap == pytest.approx((reference.low, reference.high))
    assert effect.low is not None
    assert effect.high is not None
    assert effect.delta is not None
    assert effect.bootstrap is not None
    assert effect.bootstrap[0] < effect.delta < effect.bootstrap[1]
    assert mixup_effect(full[:7].tolist(), without[:7].tolist()).bootstrap is None
    assert mixup_effect(full[:8].tolist(), without[:8].tolist()).bootstrap is not None
    assert mixup_effect([90.0] * 9, [89.0] * 9).bootstrap is None
    bootstrap_interval.cache_clear()
    assert mixup_effect(full.tolist(), without.tolist()) == effect


def test_the_bootstrap_falls_back_to_percentiles() -> None:
    assert bootstrap_interval((2.0,) * 8, "equal") == (2.0, 2.0)  # no acceleration without spread
