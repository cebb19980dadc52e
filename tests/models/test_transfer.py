"""The classifier of weights that enter a network: its rows follow the names of the classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.models.families import THINNEST
from tests.models.metadata import metadata_of
from tests.models.random_weights import fill, images
from trickbag.errors import UserError
from trickbag.models.config import ModelConfig, ResNetConfig, TimmConfig
from trickbag.models.transfer import SourceWeights, head_names, init_seed, match_head
from trickbag.models.weights import load_weights, save_weights
from trickbag.models.zoo import build_network, build_on_shapes

NAMES = ("ant", "bee", "cat", "dog", "eel")

# The classes of the data; the rows of the weights that they take, None for those that start anew;
# and what the note says.
CASES: dict[str, tuple[tuple[str, ...], tuple[int | None, ...], str]] = {
    "same": (
        NAMES,
        (0, 1, 2, 3, 4),
        "the classifier is that of w, which has the same 5 classes in the same order (ant, bee, "
        "cat and 2 more)",
    ),
    "reordered": (
        ("eel", "ant", "dog", "bee", "cat"),
        (4, 0, 3, 1, 2),
        "the classifier takes the rows by name of w, which has the same 5 classes in another order "
        "(ant, bee, cat and 2 more)",
    ),
    "subset": (
        ("dog", "bee"),
        (3, 1),
        "the classifier takes the rows of 2 of its 2 classes from w (dog, bee); 3 of the weights' "
        "5 are left out (ant, cat, eel)",
    ),
    "superset": (
        ("fox", *NAMES, "gnu"),
        (None, 0, 1, 2, 3, 4, None),
        "the classifier takes the rows of 5 of its 7 classes from w (ant, bee, cat and 2 more); 2 "
        "start anew (fox, gnu)",
    ),
    "overlap of equal size": (
        ("bee", "fox", "ant", "gnu", "hen"),
        (1, None, 0, None, None),
        "the classifier takes the rows of 2 of its 5 classes from w (bee, ant); 3 start anew (fox, "
        "gnu, hen); 3 of the weights' 5 are left out (cat, dog, eel)",
    ),
    "disjoint": (
        ("Ant", "Bee", "Cat", "Dog", "Eel"),
        (None,) * 5,
        "the classifier starts anew: none of the 5 classes (Ant, Bee, Cat and 2 more) is among the "
        "5 of w (ant, bee, cat and 2 more)",
    ),
}

# The forms of classifiers: the shapes behind the number of classes, by name.
FORMS: dict[str, dict[str, tuple[int, ...]]] = {
    "linear": {"fc.weight": (8,), "fc.bias": ()},
    "convolution": {"head.fc.weight": (8, 1, 1), "head.fc.bias": ()},
    "without bias": {"head.weight": (8,)},
    "two": {
        "head.weight": (8,),
        "head.bias": (),
        "head_dist.l.weight": (8,),
        "head_dist.l.bias": (),
    },
    "two of other widths": {"fc.weight": (8,), "fc.bias": (), "aux.weight": (3,), "aux.bias": ()},
}


def head_of(form: str, classes: int, start: float) -> dict[str, torch.Tensor]:
    shapes = {name: (classes, *shape) for name, shape in FORMS[form].items()}
    return {name: start + torch.rand(shape) for name, shape in shapes.items()}


def weights(form: str, names: tuple[str, ...] | None, classes: int = len(NAMES)) -> SourceWeights:
    return SourceWeights(tensors=head_of(form, classes, 5.0), origin="w", classes=names)


def taken(form: str, source: SourceWeights, classes: tuple[str, ...], **options: Any) -> Any:
    """Return which row each tensor of the classifier has, None for its own, and the notes."""
    present = head_of(form, len(classes), -5.0)
    rows = match_head(present, source, frozenset(present), classes, **options)
    after = {n: present[n] if n in rows.fresh else rows.tensors[n] for n in present}
    places = set()
    for name, tensor in after.items():
        given = source.tensors[name]
        places.add(
            tuple(
                None
                if torch.equal(row, present[name][i])
                else next(j for j, other in enumerate(given) if torch.equal(row, other))
                for i, row in enumerate(tensor)
            )
        )
    (place,) = places  # the same for all tensors
    return place, [note.text for note in rows.notes]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_rows_follow_the_names_of_classes(form, case):
    classes, places, text = CASES[case]
    assert taken(form, weights(form, NAMES), classes) == (places, [text])


@pytest.mark.parametrize("form", FORMS)
def test_weights_without_names_keep_no_row_unless_told(form):
    anew, kept = (None,) * 5, (0, 1, 2, 3, 4)
    place, (text,) = taken(form, weights(form, None), NAMES)
    assert place == anew
    assert "starts anew: w does not name its 5 classes" in text
    assert "training.init_head=keep" in text
    place, (text,) = taken(form, weights(form, None), NAMES, init_head="keep")
    assert place == kept
    assert "is taken as it is (training.init_head=keep), with its 5 rows for ant, bee" in text
    place, (text,) = taken(form, weights(form, None), NAMES[:4])
    assert place == anew[:4]
    assert text == "the classifier starts anew: w has 5 classes, this network 4"


def test_the_recipe_counts_before_the_names():
    source, renamed = weights("linear", NAMES), ("ant", "bee", "kitten", "dog", "eel")
    place, (text,) = taken("linear", source, NAMES, init_head="new")
    assert place == (None,) * 5
    assert text == "the classifier starts anew (training.init_head=new), not with that of w"
    place, (text,) = taken("linear", source, renamed, init_head="keep")
    assert place == (0, 1, 2, 3, 4)
    assert text.endswith("(training.init_head=keep): cat becomes kitten")
    with pytest.raises(UserError, match=r"'keep': w has 5 classes, this network 3; .*auto.*new"):
        taken("linear", source, NAMES[:3], init_head="keep")
    none = SourceWeights(tensors={}, origin="w")
    present = head_of("linear", 3, 0)
    with pytest.raises(UserError, match="'keep': w has no classifier"):
        match_head(present, none, frozenset(present), NAMES[:3], "keep")


def test_names_must_be_as_many_as_rows():
    with pytest.raises(UserError, match="w names 4 classes, and its classifier has 5"):
        taken("linear", weights("linear", NAMES[:4]), NAMES)


def test_one_of_two_classifiers_can_be_missing():
    present, source = head_of("two", 5, 0), weights("linear", NAMES)
    source = replace(
        source, tensors={k.replace("fc", "head"): v for k, v in source.tensors.items()}
    )
    rows = match_head(present, source, frozenset(present), NAMES)
    assert rows.fresh == {"head_dist.l.weight", "head_dist.l.bias"}
    assert rows.tensors.keys() == {"head.weight", "head.bias"}
    assert rows.notes[0].text == "the classifier head_dist.l starts anew: w does not have it"


def test_what_is_new_depends_on_weights_and_data():
    seeds = {init_seed(s, w, d) for s in (0, 1) for w in ("w", "v") for d in ("a", "b")}
    assert len(seeds) == 8
    assert init_seed(3, "w", "a") == init_seed(3, "w", "a")


# Where the classifier is

# What timm has besides one linear layer, with its tensors.
HEADS = {
    "deit_tiny_distilled_patch16_224": {"head": "wb", "head_dist": "wb"},
    "levit_128s": {"head.linear": "wb", "head_dist.linear": "wb"},
    "crossvit_tiny_240": {f"head.{i}": "wb" for i in range(2)},
    "eva02_tiny_patch14_224": {"head": "wb"},
    "nfnet_f0": {"head.fc": "wb"},
    "dpn48b": {"classifier": "wb"},
    "dla46_c": {"fc": "wb"},
    "test_resnet": {"fc": "wb"},
    "caformer_s18": {"head.fc.fc2": "wb"},
    "volo_d1_224": {"head": "wb", "aux_head": "wb"},
}


QUICK = ("levit_128s", "test_resnet")


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in HEADS],
)
def test_the_tensors_that_depend_on_the_number_of_classes(name):
    config = TimmConfig(name=name, num_classes=6)
    suffixes = {"w": "weight", "b": "bias"}
    names = {f"{at}.{suffixes[kind]}" for at, kinds in HEADS[name].items() for kind in kinds}
    assert head_names(build_on_shapes(config), config) == names


@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name in THINNEST if name != "inception"])
def test_the_classifier_of_each_family(family):
    config = replace(THINNEST[family].config, num_classes=6)
    network = build_on_shapes(config)
    names = head_names(network, config)
    assert {network.state_dict()[name].shape[0] for name in names} == {6}
    assert names == head_names(network)  # what the network itself says


# Networks as a whole

NETWORKS: dict[str, tuple[ModelConfig, int]] = {
    "resnet": (ResNetConfig(depth=18, width_factor=0.125, stem="small_s1"), 32),
    "test_resnet": (TimmConfig(name="test_resnet"), 32),
}
MORE_NETWORKS: dict[str, tuple[ModelConfig, int]] = {
    "assemble": (THINNEST["assemble"].config, 45),
    "mobilenet": (THINNEST["se mobilenet"].config, 45),
    "distilled": (TimmConfig(name="deit_tiny_distilled_patch16_224"), 224),
    "two with normalisation": (TimmConfig(name="levit_128s"), 224),
    "crossvit": (TimmConfig(name="crossvit_tiny_240"), 240),
    "convolution": (TimmConfig(name="dla46_c"), 64),
    "eva": (TimmConfig(name="eva02_tiny_patch14_224"), 224),
    "nfnet": (TimmConfig(name="test_nfnet"), 64),
    "convnext": (TimmConfig(name="test_convnext"), 64),
    "efficientnet": (TimmConfig(name="test_efficientnet"), 64),
    "byobnet": (TimmConfig(name="test_byobnet"), 64),
    "inception": (TimmConfig(name="inception_v3"), 97),
}


def donor_of(config: ModelConfig, classes: int) -> nn.Module:
    """Return a network that gives every class its own logit."""
    return fill(build_network(replace(config, num_classes=classes), seed=1), seed=4)


def check_every_case(config: ModelConfig, size: int, tmp_path: Any) -> None:
    donor = donor_of(config, len(NAMES))
    file = tmp_path / "w.safetensors"
    save_weights(donor, file, metadata_of(replace(config, num_classes=5), classes=NAMES))
    x = images(2, 3, size)
    with torch.no_grad():
        logits = donor(x)
    for classes, places, _ in CASES.values():
        other = replace(config, num_classes=len(classes))
        network = build_network(other, seed=2).eval()
        assert load_weights(network, file, config=other, classes=classes)
        with torch.no_grad():
            new = network(x)
        for i, place in enumerate(places):
            if place is not None:
                scale = 1e-4 * float(logits.abs().max())
                torch.testing.assert_close(new[:, i], logits[:, place], rtol=0, atol=scale)
                continue
            # A class that the weights do not have starts at zero.
            for name in head_names(network, other):
                assert not network.state_dict()[name][i].any()


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_follow_the_names_of_classes(name, tmp_path):
    check_every_case(*NETWORKS[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_NETWORKS)
def test_logits_of_every_form_follow_the_names_of_classes(name, tmp_path):
    check_every_case(*MORE_NETWORKS[name], tmp_path)


@pytest.mark.slow
def test_an_auxiliary_head_follows_the_names_of_classes_too(tmp_path):
    config = TimmConfig(name="inception_v3", num_classes=5, auxiliary_weight=0.4)
    plain = replace(config, auxiliary_weight=0.0)
    file, order = tmp_path / "w.safetensors", [4, 0, 3, 1, 2]
    classes = tuple(NAMES[i] for i in order)
    for of_file in (config, plain):
        donor, network = donor_of(of_file, 5), build_network(config, seed=2)
        save_weights(donor, file, metadata_of(of_file, classes=NAMES))
        assert network.AuxLogits.fc.weight.any()
        given = donor.state_dict()
        notes = [note.text for note in load_weights(network, file, config=config, classes=classes)]
        assert torch.equal(network.fc.weight, given["fc.weight"][order])
        auxiliary = network.AuxLogits.fc.weight
        if of_file is config:
            assert torch.equal(auxiliary, given["AuxLogits.fc.weight"][order])
        else:
            assert not auxiliary.any()
        assert sum("auxiliary head" in text for text in notes) == (of_file is plain)
        assert len(notes) == 1 + (of_file is plain)


def test_a_file_of_other_origin_has_no_names(tmp_path):
    config = replace(NETWORKS["test_resnet"][0], num_classes=5)
    donor, network = donor_of(config, 5), build_network(config, seed=2)
    assert network.get_classifier().weight.any()
    save_file(dict(donor.state_dict()), tmp_path / "w.safetensors")
    (note,) = load_weights(network, tmp_path / "w.safetensors", classes=NAMES)
    assert "does not name its 5 classes" in note.text
    assert not network.get_classifier().weight.any()
    (note,) = load_weights(network, tmp_path / "w.safetensors", classes=NAMES, init_head="keep")
    assert torch.equal(network.get_classifier().weight, donor.get_classifier().weight)
