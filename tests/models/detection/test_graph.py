"""A detector as a graph of fixed shapes: the same objects, in torch and in onnxruntime."""

from __future__ import annotations

import io

import pytest
import torch

from tests.models.detection.small import EXTENTS, canvas, small_detector
from tests.models.random_weights import fill
from trickbag.models.detection.graph import DetectionGraph


def detector_of(form, **settings):
    detector = small_detector(features=form, **settings).eval()
    # Larger values in the heads would leave one box of all after suppression.
    fill(detector.backbone)
    return detector


def examples():
    for seed, extent in enumerate((*EXTENTS, torch.tensor([33, 131]))):
        yield canvas(seed)[:1], extent


@pytest.mark.parametrize("form", ["fpn", "single"])
@pytest.mark.parametrize("settings", [{"score_threshold": 0.05}, {"max_detections": 7}])
def test_a_graph_has_the_objects_of_the_detector(form, settings):
    detector = detector_of(form, **settings)
    graph, places = DetectionGraph(detector), detector.config.max_detections
    for image, extent in examples():
        with torch.no_grad():
            boxes, labels, scores = graph(image, extent)
        (expected,) = detector.detect(image, extent[None])
        number = len(expected.scores)
        assert len(boxes) == len(labels) == len(scores) == places
        assert 5 < number <= places
        torch.testing.assert_close(boxes[:number], expected.boxes)
        torch.testing.assert_close(scores[:number], expected.scores)
        assert torch.equal(labels[:number], expected.labels)
        assert (scores[number:] == -1).all()
        assert (labels[number:] == -1).all()
        assert not boxes[number:].any()


def test_an_image_without_objects_fills_no_place():
    graph = DetectionGraph(detector_of("fpn", score_threshold=1.0))
    with torch.no_grad():
        _, labels, scores = graph(*next(examples()))
    assert (scores == -1).all()
    assert (labels == -1).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the exporter's
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", ["fpn", "single"])
def test_onnxruntime_finds_the_same_objects(form):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    graph = DetectionGraph(detector_of(form))
    program = torch.onnx.export(
        graph,
        next(examples()),
        input_names=["images", "extent"],
        output_names=["boxes", "labels", "scores"],
        dynamo=True,
        verbose=False,
    )
    file = io.BytesIO()
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for image, extent in examples():
        boxes, labels, scores = session.run(
            None, {"images": image.numpy(), "extent": extent.numpy()}
        )
        with torch.no_grad():
            expected = graph(image, extent)
        torch.testing.assert_close(torch.from_numpy(boxes), expected[0], atol=1e-3, rtol=1e-4)
        assert torch.equal(torch.from_numpy(labels), expected[1])
        torch.testing.assert_close(torch.from_numpy(scores), expected[2], atol=1e-5, rtol=1e-4)
