"""Averages of networks and of views, against probabilities computed by hand in float64."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.builders.images import photo
from tests.builders.trained import halves_by_hand, halves_network, preprocessing_of_size
from trickbag.errors import UserError
from trickbag.evaluate import Predictor, Trained, evaluate
from trickbag.evaluate.average import averaged
from trickbag.evaluate.views import TTA, views_of

IMAGES = [photo(40, 28, seed) for seed in range(3)]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits)))


def probabilities(trained: Trained) -> np.ndarray:
    rows = [prediction.probabilities for prediction in Predictor(trained=trained).predict(IMAGES)]
    return np.stack([np.float64(row) for row in rows if row is not None])


def crop(trained: Trained, image: np.ndarray) -> np.ndarray:
    return trained.preprocessing.crop(image)


def test_the_average_of_networks_of_other_sizes_and_another_order_of_classes() -> None:
    first = halves_network(("a", "b", "c"), seed=1)
    second = halves_network(("c", "a", "b"), seed=2, preprocessing=preprocessing_of_size(24))
    order = [1, 2, 0]
    expected = [
        (
            softmax(halves_by_hand(crop(first, image), first))
            + softmax(halves_by_hand(crop(second, image), second))[order]
        )
        / 2
        for image in IMAGES
    ]
    mean = averaged([first, second])
    assert mean.classes == ("a", "b", "c")
    np.testing.assert_allclose(probabilities(mean), expected, atol=2e-6)
    three = averaged([first, second, first])
    np.testing.assert_allclose(
        probabilities(three), (2 * np.array(expected) + probabilities(first)) / 3, atol=2e-6
    )


def test_networks_with_one_preprocessing_share_the_crop() -> None:
    first, second = halves_network(seed=1), halves_network(seed=2)
    mean = averaged([first, second])
    # So whatever changes cropped images, such as a corruption, works on this average too.
    assert mean.preprocessing == first.preprocessing
    expected = (probabilities(first) + probabilities(second)) / 2
    np.testing.assert_allclose(probabilities(mean), expected, atol=1e-6)


def test_of_one_network_there_is_no_average() -> None:
    network = halves_network()
    assert averaged([network]) is network
    np.testing.assert_allclose(
        probabilities(averaged([network, network])), probabilities(network), atol=1e-6
    )


@pytest.mark.parametrize("name", TTA)
def test_a_symmetric_network_on_one_colour_gains_nothing(name: str) -> None:
    network = halves_network(symmetric=True)
    image = np.full((30, 40, 3), (20, 90, 200), np.uint8)
    rows = [
        next(Predictor(trained=each).predict([image])).probabilities
        for each in (network, averaged([network], name))
    ]
    assert rows[0] is not None
    assert rows[1] is not None
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)


def test_a_symmetric_network_gains_nothing_by_flips() -> None:
    network = halves_network(symmetric=True)
    np.testing.assert_allclose(
        probabilities(averaged([network], "flip")), probabilities(network), atol=1e-6
    )


def test_flips_by_hand() -> None:
    network = halves_network(seed=3)
    expected = [
        np.mean([softmax(halves_by_hand(c, network)) for c in (pixels, pixels[:, :, ::-1])], axis=0)
        for pixels in (crop(network, image) for image in IMAGES)
    ]
    np.testing.assert_allclose(probabilities(averaged([network], "flip")), expected, atol=2e-6)
    assert abs(np.array(expected) - probabilities(network)).max() > 0.01


@pytest.mark.parametrize(
    "name", ["five-crop", "ten-crop", "multi-scale", "flip+multi-scale", "dihedral"]
)
def test_views_by_hand(name: str) -> None:
    network = halves_network(seed=4)
    views = views_of(name, network.preprocessing, fixed_size=False)

    def of_views(image: np.ndarray) -> Any:
        rows = []
        for view in views:
            pixels = view.crop.preprocessing.crop(image, view.crop.at)
            seen = pixels[..., ::-1] if view.flip else pixels
            rows.append(softmax(halves_by_hand(np.rot90(seen, view.turns, (1, 2)), network)))
        return np.mean(rows, axis=0)

    augmented = averaged([network], name)
    expected = [of_views(image) for image in IMAGES]
    np.testing.assert_allclose(probabilities(augmented), expected, atol=2e-6)
    assert [p.tta for p in Predictor(trained=augmented).predict(IMAGES[:1])] == [name]
    assert augmented.weights_title == network.weights_title


def test_turned_views_keep_the_shape_of_the_crop() -> None:
    square, wide = (preprocessing_of_size(size) for size in (16, (12, 20)))
    turns = [
        [view.turns for view in views_of("dihedral", each, fixed_size=True)]
        for each in (square, wide)
    ]
    assert turns == [[0, 1, 2, 3] * 2, [0, 2] * 2]


def test_several_labels_an_image() -> None:
    first = halves_network(("a", "b"), seed=1, thresholds=(0.2, 0.4))
    second = halves_network(("b", "a"), seed=2, thresholds=(0.6, 0.3))
    mean = averaged([first, second], "flip")
    expected = [
        np.mean(
            [
                sigmoid(halves_by_hand(pixels, first)) / 2
                + sigmoid(halves_by_hand(pixels, second))[[1, 0]] / 2
                for pixels in (cropped, cropped[..., ::-1])
            ],
            axis=0,
        )
        for cropped in (crop(first, image) for image in IMAGES)
    ]
    np.testing.assert_allclose(probabilities(mean), expected, atol=1e-6)
    assert mean.thresholds == pytest.approx((0.25, 0.5))
    assert any("thresholds of the average are the means" in note.text for note in mean.notes)


def test_an_image_without_a_finite_logit_in_one_network_has_none_in_the_average() -> None:
    class Broken(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(len(images), 3)
            logits[0, 1] = float("inf")
            return logits

    broken = halves_network(network=Broken())
    mean = averaged([halves_network(), broken])
    errors = [p.error for p in Predictor(trained=mean).predict(IMAGES)]
    assert [error is not None for error in errors] == [True, False, False]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"classes": ("one", "three", "nine")}, ["classes differ", "no nine", "no zero"]),
        ({"classes": ("one", "three")}, ["classes differ", "the second has no zero"]),
        ({"thresholds": (0.5, 0.5, 0.5)}, ["one label, the other any number"]),
        (
            {
                "preprocessing": dataclasses.replace(
                    preprocessing_of_size(16), pixel_range=(("integer", 0.0, 1023.0),)
                )
            },
            ["other channels or pixel ranges"],
        ),
    ],
    ids=["other classes", "fewer classes", "several labels", "pixel range"],
)
def test_networks_that_do_not_go_together(change: dict[str, Any], parts: list[str]) -> None:
    first, second = halves_network(), halves_network(seed=1, **change)
    with pytest.raises(UserError, match="cannot be averaged") as raised:
        averaged([first, second])
    for part in (*parts, str(first.path), str(second.path)):
        assert part in str(raised.value)


def test_precisions_that_differ_are_noted() -> None:
    mean = averaged([halves_network(), halves_network(seed=1, precision="bf16")])
    assert any("in float32, network-1.safetensors in bf16" in note.text for note in mean.notes)


@pytest.mark.parametrize("name", [None, "ten-crop", "flip+multi-scale"])
def test_evaluation_and_prediction_agree(name: str | None, photos: Path) -> None:
    members = [
        halves_network(seed=5),
        halves_network(seed=6, preprocessing=preprocessing_of_size(8)),
    ]
    mean = averaged(members, name)
    evaluation = evaluate(mean, data=str(photos), workers=0, batch_size=7)
    files = sorted(photos.rglob("*.png"))
    labels = [prediction.label for prediction in Predictor(trained=mean).predict(files)]
    right = np.mean([file.parent.name == label for file, label in zip(files, labels, strict=True)])
    assert evaluation.metrics["top1"] == pytest.approx(100 * right)
    assert evaluation.to_dict()["tta"] == name
    title = "the average of 2 (network-5.safetensors; network-6.safetensors)"
    assert evaluation.weights == title


def test_a_run_that_may_know_the_validation_images_is_named(trained: Trained, photos: Path) -> None:
    stranger = dataclasses.replace(trained, record=None, path=Path("stranger.safetensors"))
    both = averaged([trained, stranger])
    for mean, data, expected in [
        (both, None, True),
        (dataclasses.replace(both, record=None), str(photos), False),  # images of no run
        (averaged([trained, trained]), None, False),
        (averaged([trained], "flip"), None, False),
    ]:
        notes = [note.text for note in evaluate(mean, data=data, workers=0).notes]
        assert any("stranger.safetensors may have been trained on" in n for n in notes) is expected


def test_the_views_of_a_network_of_fixed_size() -> None:
    preprocessing = preprocessing_of_size(224, 256)
    sizes = {
        fixed: [
            (view.crop.preprocessing.image_size, view.crop.preprocessing.resize)
            for view in views_of("multi-scale", preprocessing, fixed_size=fixed)
        ]
        for fixed in (False, True)
    }
    assert sizes[False] == [(224, 256), (256, 293), (288, 329)]
    assert sizes[True] == [(224, 256), (224, 293), (224, 329)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (384, [384, 448, 480]),
        (260, [260, 296, 336]),
        (64, [64, 72, 80]),
        (32, [32, 36, 40]),
        (28, [28, 32, 36]),
        (15, [15, 18, 20]),
        (8, [8, 10]),
        ((32, 96), [(32, 96), (36, 112), (40, 120)]),
    ],
)
def test_the_sizes_of_multi_scale(size: Any, expected: list[Any]) -> None:
    preprocessing = dataclasses.replace(preprocessing_of_size(16), image_size=size, resize=size)
    views = views_of("multi-scale", preprocessing, fixed_size=False)
    assert [view.crop.preprocessing.image_size for view in views] == expected
    assert [view.crop.preprocessing.resize for view in views] == expected


def test_five_crops_need_a_border() -> None:
    whole_image = preprocessing_of_size(224)
    crops = {view.crop for view in views_of("five-crop", whole_image, fixed_size=False)}
    assert {crop.preprocessing.resize for crop in crops} == {256}
    assert len(crops) == 5
    wide = dataclasses.replace(whole_image, image_size=(32, 64), resize=(40, 80))
    for view in views_of("five-crop", wide, fixed_size=False):
        assert view.crop.preprocessing.resize == (40, 80)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(UserError, match=r"'flop'.*flip, five-crop, ten-crop, multi-scale, flip\+"):
        averaged([halves_network()], "flop")


@pytest.mark.gpu
@pytest.mark.parametrize("name", TTA)
def test_a_gpu_gives_the_same_probabilities(name: str) -> None:
    classes = (("a", "b", "c"), ("c", "a", "b"))
    here = [halves_network(classes[i], seed=i) for i in range(2)]
    there = [
        dataclasses.replace(
            each, network=copy.deepcopy(each.network).cuda(), device=torch.device("cuda")
        )
        for each in here
    ]
    np.testing.assert_allclose(
        probabilities(averaged(there, name)), probabilities(averaged(here, name)), atol=1e-5
    )
