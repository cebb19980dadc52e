"""Weights of a classifier in a detector's backbone."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.models.detection.small import MODEL, small_detector
from tests.models.metadata import PREPROCESSING, metadata_of
from tests.models.random_weights import fill
from trickbag.errors import UserError
from trickbag.models import build_network
from trickbag.models.config import TimmConfig
from trickbag.models.detection.weights import load_backbone
from trickbag.models.weights import preprocessing_of, save_weights


@pytest.mark.parametrize(
    "model", [MODEL, TimmConfig(name="resnet18"), TimmConfig(name="mobilenetv3_small_050")]
)
def test_a_backbone_takes_all_of_a_classifier_but_its_last_layer(tmp_path, model):
    config = dataclasses.replace(model, num_classes=7)
    classifier, file = fill(build_network(config, seed=1)), tmp_path / "classifier.safetensors"
    save_weights(classifier, file, metadata_of(config))
    detector = small_detector(model)
    heads = {n: v.clone() for n, v in detector.state_dict().items() if not n.startswith("backbone")}
    notes = load_backbone(detector, file, model)
    assert [note.reason for note in notes] == [
        f"the classifier of {file} is left out: this network has none"
    ]
    values, expected = detector.backbone.network.state_dict(), classifier.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in values.items())
    assert all(torch.equal(value, detector.state_dict()[name]) for name, value in heads.items())
    assert preprocessing_of(file, model) == PREPROCESSING


@pytest.mark.parametrize(("policy", "frozen"), [("auto", True), ("frozen", True), ("batch", False)])
def test_the_normalisations_of_loaded_weights_are_frozen(tmp_path, policy, frozen):
    config, file = dataclasses.replace(MODEL, num_classes=3), tmp_path / "classifier.safetensors"
    save_weights(build_network(config, seed=1), file, metadata_of(config))
    detector = small_detector(backbone_norm=policy)
    assert bool(detector.frozen_norms) == (policy == "frozen")
    load_backbone(detector, file, MODEL)
    assert bool(detector.frozen_norms) == frozen
    assert detector.train().backbone.network.bn1.training != frozen


def test_weights_of_another_network_are_refused(tmp_path):
    config, file = TimmConfig(name="resnet18", num_classes=3), tmp_path / "other.safetensors"
    save_weights(build_network(config, seed=1), file, metadata_of(config))
    detector = small_detector()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    with pytest.raises(UserError, match="does not fit this network: missing"):
        load_backbone(detector, file, MODEL)
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())
