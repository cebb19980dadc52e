"""Policies: what they draw, what they do with it, what they refuse."""

from __future__ import annotations

import collections
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.builders.images import photo
from trickbag.data.config import DataConfig
from trickbag.data.policies import operations
from trickbag.data.policies.magnitudes import argument
from trickbag.data.policies.policies import (
    LearnedPolicy,
    MixedPolicy,
    Policy,
    RandomPolicy,
    ThreeAugmentPolicy,
    mix_chains,
)
from trickbag.errors import UserError
from trickbag.parsing import parse, parse_fields
from trickbag.recipe import Recipe
from trickbag.settings import plain, read
from trickbag.streams import stream

IMAGE = Image.fromarray(photo(24, 20, seed=1))
TABLE = (
    (("rotate", 0.25, 3), ("equalize", 1.0, 0)),
    (("solarize", 0.5, 5), ("translate_x", 0.0, 9)),
)
POLICIES = [
    LearnedPolicy(table=TABLE),  # type: ignore[arg-type]  # a plain literal
    RandomPolicy(),
    RandomPolicy(count=1, magnitude=None, ranges="wide"),
    MixedPolicy(),
    RandomPolicy(magnitude=7, bins=11, ranges="increasing", prob=0.5, magnitude_std=0.5),
    ThreeAugmentPolicy(),
    MixedPolicy(depth=2, every_operation=True, width=1),
]


class Recorded:
    """Stands in for `operate`: keeps its arguments, and returns the image unchanged."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, float]] = []
        monkeypatch.setattr(operations, "operate", self)

    def __call__(self, image: Image.Image, operation: str, value: float, *_: object) -> Image.Image:
        self.calls.append((operation, value))
        return image


def shares(names: list[str]) -> dict[str, float]:
    return {name: count / len(names) for name, count in Counter(names).items()}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_a_policy_is_a_function_of_the_image_and_the_stream(policy: Policy) -> None:
    before = IMAGE.tobytes()
    images = [policy(IMAGE, stream(0, "policy", 1, row)) for row in range(30)]
    again = [policy(IMAGE, stream(0, "policy", 1, row)) for row in range(30)]
    assert [image.tobytes() for image in images] == [image.tobytes() for image in again]
    assert len({image.tobytes() for image in images}) > 4
    assert {(image.size, image.mode) for image in images} == {(IMAGE.size, "RGB")}
    assert IMAGE.tobytes() == before


def test_the_place_of_cutout_is_uniform_and_changes_no_other_draw() -> None:
    image = Image.new("RGB", (40, 40))
    table = ((("cutout", 1.0, 5), ("invert", 0.5, 0)),)
    cut, plain = (
        LearnedPolicy(table=table),
        LearnedPolicy(table=((("identity", 1, 0), *table[0][1:]),)),
    )
    grey, inverted = np.zeros((40, 40)), []
    for row in range(1000):
        changed = np.asarray(cut(image, stream(0, "policy", 0, row)))[..., 0]
        grey += (changed == 128) | (changed == 127)
        inverted.append(bool((changed == 255).any()))
        other = np.asarray(plain(image, stream(0, "policy", 0, row)))[..., 0]
        assert inverted[-1] == bool(other.any())
    # Beside the edges a square reaches each pixel equally often.
    middle = grey[4:-4, 4:-4] / 1000
    assert middle.mean() == pytest.approx(4 * 4 / 40**2, rel=0.1)
    assert middle.std() < 0.006


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_a_policy_is_plain_data(policy: Policy) -> None:
    data = DataConfig(policy=policy)
    again = read(DataConfig, json.loads(json.dumps(plain(data))), "data")
    assert again == data
    assert type(again.policy) is type(policy)


def test_rows_steps_and_signs_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, recorded = np.random.default_rng(0), Recorded(monkeypatch)
    policy, images = POLICIES[0], 8000
    for _ in range(images):
        policy(IMAGE, rng)
    done = Counter(name for name, _ in recorded.calls)
    assert done["equalize"] / images == pytest.approx(0.5, abs=0.02)  # of every first row
    assert done["rotate"] / images == pytest.approx(0.125, abs=0.015)
    assert done["solarize"] / images == pytest.approx(0.25, abs=0.02)
    assert done["translate_x"] == 0
    angles = Counter(value for name, value in recorded.calls if name == "rotate")
    assert set(angles) == {10.0, -10.0}
    assert angles[10.0] / done["rotate"] == pytest.approx(0.5, abs=0.05)
    assert {value for name, value in recorded.calls if name == "solarize"} == {
        argument("solarize", "standard", 5 / 9, False, IMAGE.size)
    }


def test_random_operations_are_equally_likely_and_of_one_magnitude(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, recorded = np.random.default_rng(0), Recorded(monkeypatch)
    for _ in range(4000):
        RandomPolicy(count=3, magnitude=6, bins=11)(IMAGE, rng)
    assert len(recorded.calls) == 12_000
    operation_shares = shares([name for name, _ in recorded.calls])
    assert len(operation_shares) == 14
    assert all(share == pytest.approx(1 / 14, abs=0.008) for share in operation_shares.values())
    values: dict[str, set[float]] = collections.defaultdict(set)
    for name, value in recorded.calls:
        values[name].add(value)
    for name in operation_shares:
        both = {argument(name, "standard", 0.6, negative, IMAGE.size) for negative in (True, False)}
        assert values[name] == both
    assert "invert" not in operation_shares


def test_magnitudes_left_open_are_uniform_over_the_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, recorded = np.random.default_rng(0), Recorded(monkeypatch)
    for _ in range(10_000):
        RandomPolicy(count=1, magnitude=None, bins=5, ranges="wide")(IMAGE, rng)
    angles = shares([str(value) for name, value in recorded.calls if name == "rotate"])
    assert angles.pop("0.0") == pytest.approx(0.2, abs=0.05)
    expected = {
        f"{sign}{value}": 0.1 for sign in ("", "-") for value in (33.75, 67.5, 101.25, 135.0)
    }
    assert angles == pytest.approx(expected, abs=0.04)


def test_chains_of_augmix(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, recorded = np.random.default_rng(0), Recorded(monkeypatch)
    lengths = []
    for _ in range(3000):
        before = len(recorded.calls)
        MixedPolicy(width=1, severity=5)(IMAGE, rng)
        lengths.append(str(len(recorded.calls) - before))
    assert shares(lengths) == pytest.approx({"1": 1 / 3, "2": 1 / 3, "3": 1 / 3}, abs=0.03)
    operation_shares = shares([name for name, _ in recorded.calls])
    assert sorted(operation_shares) == sorted(
        [
            "auto_contrast",
            "equalize",
            "posterize",
            "rotate",
            "solarize",
            "shear_x",
            "shear_y",
            "translate_x",
            "translate_y",
        ]
    )
    assert all(share == pytest.approx(1 / 9, abs=0.015) for share in operation_shares.values())
    slopes = np.array([value for name, value in recorded.calls if name == "shear_x"])
    # Uniform from 0.1 to 5 of 10, of 0.3, either way.
    assert 0.003 <= np.abs(slopes).min() < 0.006
    assert 0.147 < np.abs(slopes).max() <= 0.15
    assert np.abs(slopes).mean() == pytest.approx(0.0765, abs=0.004)
    assert (slopes < 0).mean() == pytest.approx(0.5, abs=0.06)
    recorded.calls.clear()
    for _ in range(200):
        MixedPolicy(width=2, depth=4, every_operation=True)(IMAGE, rng)
    assert len(recorded.calls) == 1600
    assert len({name for name, _ in recorded.calls}) == 13


def test_the_mixture_by_hand() -> None:
    chains = [Image.fromarray(photo(24, 20, seed=seed)) for seed in (5, 6, 7)]
    weights, share = [0.2, 0.5, 0.3], 0.7
    by_hand = 0.3 * np.asarray(IMAGE, np.float64)
    for chain, weight in zip(chains, weights, strict=True):
        by_hand += 0.7 * weight * np.asarray(chain, np.float64)
    mixed = np.asarray(mix_chains(IMAGE, chains, weights, share))
    assert np.abs(mixed - by_hand).max() <= 0.5 + 1e-4
    assert mix_chains(IMAGE, chains, weights, 0.0).tobytes() == IMAGE.tobytes()
    assert mix_chains(IMAGE, chains, [0, 1, 0], 1.0).tobytes() == chains[1].tobytes()


def test_mixtures_weigh_image_and_chains_as_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    # Chains of black: what is left of white is the image's own share, uniform for alpha = 1.
    monkeypatch.setattr(operations, "operate", lambda image, *_: Image.new("RGB", image.size))
    white, rng = Image.new("RGB", (2, 2), (255, 255, 255)), np.random.default_rng(0)
    left = np.array([np.asarray(MixedPolicy(depth=1)(white, rng)).max() / 255 for _ in range(4000)])
    assert left.mean() == pytest.approx(0.5, abs=0.02)
    assert left.std() == pytest.approx(1 / 12**0.5, abs=0.01)


TIMM = (
    *(("AutoContrast", "auto_contrast"), ("Equalize", "equalize"), ("Invert", "invert")),
    *(("Rotate", "rotate"), ("PosterizeIncreasing", "posterize")),
    *(("SolarizeIncreasing", "solarize"), ("SolarizeAdd", "solarize_add")),
    *(("ColorIncreasing", "color"), ("ContrastIncreasing", "contrast")),
    *(("BrightnessIncreasing", "brightness"), ("SharpnessIncreasing", "sharpness")),
    *(("ShearX", "shear_x"), ("ShearY", "shear_y")),
    *(("TranslateXRel", "translate_x"), ("TranslateYRel", "translate_y")),
)
"""timm's operations that become stronger with the magnitude, and their names here."""


@pytest.mark.parametrize(("timm_name", "name"), TIMM)
@pytest.mark.parametrize("magnitude", [0.0, 3.3, 7.0, 9.9])
def test_increasing_magnitudes_are_timms(
    timm_name: str, name: Any, magnitude: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm.data.auto_augment as timms

    hparams = {"img_mean": (128, 128, 128), "interpolation": Image.Resampling.BILINEAR}
    operation = timms.AugmentOp(timm_name, prob=1.0, magnitude=magnitude, hparams=hparams)
    for negative in (False, True):
        sign = -1 if negative else 1
        monkeypatch.setattr(timms, "_randomly_negate", lambda value, sign=sign: sign * value)
        value = argument(name, "increasing", magnitude / 10, negative, IMAGE.size)
        ours = np.asarray(operations.operate(IMAGE, name, value, 128, "bilinear"), np.int64)
        other = argument(name, "increasing", magnitude / 10, not negative, IMAGE.size)
        turned = np.asarray(operations.operate(IMAGE, name, other, 128, "bilinear"), np.int64)
        expected = np.asarray(operation(IMAGE), np.int64)
        # Signs of shears, translations and rotations may mean the other direction.
        assert min(np.abs(ours - expected).max(), np.abs(turned - expected).max()) <= 1


def test_the_operations_that_become_stronger_are_timms(monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.data.auto_augment import _RAND_INCREASING_TRANSFORMS

    assert sorted(_RAND_INCREASING_TRANSFORMS) == sorted(name for name, _ in TIMM)
    rng, recorded = np.random.default_rng(0), Recorded(monkeypatch)
    policy = RandomPolicy(magnitude=7, bins=11, ranges="increasing", prob=0.5, magnitude_std=0.5)
    for _ in range(3000):
        policy(IMAGE, rng)
    # Each of two is done with a probability of a half.
    assert len(recorded.calls) / 6000 == pytest.approx(0.5, abs=0.025)
    counts = shares([name for name, _ in recorded.calls])
    assert set(counts) == {name for _, name in TIMM}
    assert all(share == pytest.approx(1 / 15, abs=0.017) for share in counts.values())
    magnitudes = np.array([abs(v) / 3 for name, v in recorded.calls if name == "rotate"])
    assert magnitudes.mean() == pytest.approx(7, abs=0.15)
    assert magnitudes.std() == pytest.approx(0.5, abs=0.1)
    high = RandomPolicy(magnitude=10, bins=11, ranges="increasing", magnitude_std=3.0)
    recorded.calls.clear()
    for _ in range(500):
        high(IMAGE, rng)
    angles = [abs(value) for name, value in recorded.calls if name == "rotate"]
    assert max(angles) == 30


def test_three_augment_is_that_of_the_papers_code() -> None:
    from PIL import ImageFilter, ImageOps
    from torchvision.transforms import Grayscale
    from torchvision.transforms.functional import (
        adjust_brightness,
        adjust_contrast,
        adjust_saturation,
    )

    adjust = (adjust_brightness, adjust_contrast, adjust_saturation)
    kinds: Counter[int] = Counter()
    for row in range(200):
        rng = stream(0, "policy", 0, row)
        choice, share = rng.random(2).tolist()
        factors, order = rng.uniform(0.7, 1.3, 3), rng.permutation(3)
        kinds[int(3 * choice)] += 1
        if row < 40:
            expected = (
                Grayscale(3)(IMAGE),
                ImageOps.solarize(IMAGE),
                IMAGE.filter(ImageFilter.GaussianBlur(0.1 + 1.9 * share)),
            )[int(3 * choice)]
            for place in order:
                expected = adjust[place](expected, factors[place])
            ours = ThreeAugmentPolicy()(IMAGE, stream(0, "policy", 0, row))
            assert ours.tobytes() == expected.tobytes()
    assert all(count / 200 == pytest.approx(1 / 3, abs=0.1) for count in kinds.values())
    still = ThreeAugmentPolicy(color_jitter=0.0)
    images = {still(IMAGE, stream(0, "policy", 0, row)).tobytes() for row in range(40)}
    assert {Grayscale(3)(IMAGE).tobytes(), ImageOps.solarize(IMAGE).tobytes()} < images


@settings(deadline=None, max_examples=40)
@given(
    policy=st.sampled_from([*POLICIES, MixedPolicy(severity=10, every_operation=True)]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 2**32),
)
def test_any_size_will_do(policy: Policy, size: tuple[int, int], seed: int) -> None:
    image = Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    )
    assert policy(image, np.random.default_rng(seed)).size == size


@pytest.mark.parametrize(
    ("kind", "settings", "text"),
    [
        (LearnedPolicy, {"table": ()}, "empty"),
        (
            LearnedPolicy,
            {"table": ((("rotate", 0.5, 10),),)},
            "magnitude 10; with ranges = standard it goes to 9",
        ),
        (LearnedPolicy, {"table": ((("rotat", 0.5, 1),),)}, "rotat"),
        (LearnedPolicy, {"table": ((("rotate", 1.5, 1),),)}, "from 0 to 1"),
        (RandomPolicy, {"magnitude": 31}, "from 0 to 30"),
        (RandomPolicy, {"count": 0}, "from 1 to 100"),
        (RandomPolicy, {"fill": 256}, "from 0 to 255"),
        (MixedPolicy, {"severity": 0}, "from 1 to 10"),
        (DataConfig, {"views": 2}, "needs a data.policy"),
    ],
)
def test_wrong_settings(kind: Any, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        kind(**settings)


def test_a_table_in_a_recipe_as_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(data:\n  policy:.+?)```", text, flags=re.DOTALL)
    assert example
    policy = Recipe.from_dict(yaml.safe_load(example[1])).data.policy
    assert isinstance(policy, LearnedPolicy)
    assert policy.table[1] == (("equalize", 0.6, 0),)


def test_policies_from_text() -> None:
    fields = parse_fields(DataConfig, "policy=random:count=3", "data")
    assert fields["policy"] == RandomPolicy(count=3)
    assert parse_fields(DataConfig, "policy=none", "data") == {"policy": None}
    data = DataConfig(
        policy=parse(
            Policy, "learned:table=[[[rotate, 0.7, 2], [color, 1, 0]]],fill=9", "data.policy"
        )
    )
    assert data.policy == LearnedPolicy(table=((("rotate", 0.7, 2), ("color", 1, 0)),), fill=9)
    with pytest.raises(UserError, match=r"data\.policy lacks the setting 'table'"):
        parse_fields(DataConfig, "policy=learned:fill=3", "data")
    with pytest.raises(
        UserError,
        match=r"data\.policy\.table\[0\]\[1\] = .*: must be 3 values: one of identity.*; a number",
    ):
        parse_fields(DataConfig, "policy=learned:table=[[[rotate, 0.7, 2], [color, 1]]]", "data")
    with pytest.raises(UserError, match="must be one of learned, mixed, random, three_augment"):
        parse_fields(DataConfig, "policy=rand", "data")
    with pytest.raises(UserError):
        parse_fields(DataConfig, "policy=learned:table=rotate", "data")
