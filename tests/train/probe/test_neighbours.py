from __future__ import annotations

import numpy as np
import pytest
import torch

from trickbag.train.probe import neighbours
from trickbag.train.probe.neighbours import nearest, retrieve, votes
from trickbag.train.probe.scores import neighbour_scores


@pytest.fixture(params=[False, True], ids=["whole", "in blocks"])
def features(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[np.ndarray, np.ndarray]:
    if request.param:
        monkeypatch.setattr(neighbours, "_NUMBERS", 50)
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 5)).astype(np.float32), rng.normal(size=(17, 5)).astype(np.float32)


def cosines(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Cosine similarities by brute force in float64."""
    a, b = queries.astype(np.float64), gallery.astype(np.float64)
    return np.array([[q @ g / np.sqrt((q @ q) * (g @ g)) for g in b] for q in a])


def test_the_nearest_are_those_of_brute_force(features: tuple[np.ndarray, np.ndarray]) -> None:
    queries, gallery = features
    near = nearest(torch.as_tensor(queries), torch.as_tensor(gallery), 4)
    similar = cosines(queries, gallery)
    order = np.argsort(-similar, axis=1)[:, :4]
    assert np.array_equal(near.index, order)
    np.testing.assert_allclose(
        near.similarity, np.take_along_axis(similar, order, axis=1), atol=1e-6
    )
    assert nearest(torch.as_tensor(queries), torch.as_tensor(gallery), 99).index.shape == (12, 17)


def test_an_image_of_the_own_group_is_no_neighbour(
    features: tuple[np.ndarray, np.ndarray],
) -> None:
    gallery = torch.as_tensor(features[1])
    groups = np.arange(17) // 2
    near = nearest(gallery, gallery, 17, (groups, groups))
    is_grouped = groups[near.index] == groups[:, None]
    # They come last, without a vote.
    assert (near.similarity[is_grouped] == -torch.inf).all()
    assert is_grouped.sum(axis=1).tolist() == [2] * 16 + [1]
    shares = next(votes(near, torch.eye(17), [17]))
    assert not shares.numpy()[groups[:, None] == groups].any()


def test_votes_are_weighted_as_in_dino(features: tuple[np.ndarray, np.ndarray]) -> None:
    queries, gallery = features
    labels = np.arange(17) % 3
    near = nearest(torch.as_tensor(queries), torch.as_tensor(gallery), 5)
    by_k = list(votes(near, torch.eye(3)[labels], [1, 5]))
    similar = cosines(queries, gallery)
    for k, shares in zip((1, 5), by_k, strict=True):
        for q, row in enumerate(similar):
            best = np.argsort(-row)[:k]
            weight = np.exp(row[best] / 0.07)
            expected = [weight[labels[best] == c].sum() / weight.sum() for c in range(3)]
            np.testing.assert_allclose(shares[q], expected, atol=1e-5)


def test_retrieval_by_hand() -> None:
    # On a circle: the angles tell who is near.
    angles = torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0]).deg2rad()
    gallery = torch.stack([angles.cos(), angles.sin()], dim=1)
    labels = torch.eye(4)[[0, 1, 0, 1, 1]]
    angles = torch.tensor([0.0, 60.0, 0.0]).deg2rad()
    queries = torch.stack([angles.cos(), angles.sin()], dim=1)
    result = retrieve(queries, torch.eye(4)[[1, 0, 3]], gallery, labels)
    assert result.first.tolist() == [2, 3, 0]
    # Of the three (two) nearest one (none) is of the class; the last class is not in the gallery.
    assert result.precision.tolist() == pytest.approx([1 / 3, 0, 0])
    assert result.recall(1).tolist() == [False, False, False]
    assert result.recall(2).tolist() == [True, False, False]
    assert result.recall(5).tolist() == [True, True, False]


def test_recall_and_precision_are_those_of_the_definition(
    features: tuple[np.ndarray, np.ndarray],
) -> None:
    queries, gallery = features
    rng = np.random.default_rng(1)
    of_queries, of_gallery = rng.integers(0, 2, (12, 4)), rng.integers(0, 2, (17, 4))
    result = retrieve(*map(torch.as_tensor, (queries, of_queries, gallery, of_gallery)))
    for q, row in enumerate(cosines(queries, gallery)):
        relevant = (of_gallery[np.argsort(-row)] * of_queries[q]).any(axis=1)
        for k in (1, 5, 10):
            assert bool(result.recall(k)[q]) == relevant[:k].any()
        count = relevant.sum()
        expected = relevant[:count].mean() if count else 0.0
        assert float(result.precision[q]) == pytest.approx(expected)


def test_scores_have_intervals_over_the_images() -> None:
    from trickbag.train.probe.choice import Labelled

    rng = np.random.default_rng(2)
    labels = np.arange(40) % 4
    x = (np.eye(4)[labels] + rng.normal(0, 0.4, (40, 4))).astype(np.float32)
    train, val = (
        Labelled.of(x[rows], labels[rows], [], 4, torch.device("cpu"))
        for rows in (slice(0, 24), slice(24, 40))
    )
    metrics, intervals = neighbour_scores(val, train, 5, lambda: None)
    assert list(metrics) == [
        "knn_top1",
        "recall_at_1",
        "recall_at_5",
        "recall_at_10",
        "r_precision",
    ]
    assert set(intervals) == set(metrics)
    for name, (low, high) in intervals.items():
        assert 0 <= low <= (metrics[name] or 0) <= high <= 100
    multi_label = [
        Labelled.of(x[rows], np.eye(4, dtype=np.int64)[labels[rows]], [], 4, torch.device("cpu"))
        for rows in (slice(0, 24), slice(24, 40))
    ]
    metrics_several, _ = neighbour_scores(multi_label[1], multi_label[0], 5, lambda: None)
    assert metrics_several["recall_at_1"] == metrics["recall_at_1"]
    assert metrics_several["knn_map"] is not None
