"""Nearest neighbours by cosine similarity: a vote on the class, and retrieval.

Source of the vote: Wu et al. 2018 (arXiv 1805.01978), section 3.4, as Caron et al. 2021 (DINO,
arXiv 2104.14294) use it: each of the k nearest images counts by exp(similarity / 0.07).

Shapes: Q queries, N images of the gallery, D features, K classes, k neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NEIGHBOURS", "RECALLS", "Neighbours", "Retrieval", "nearest", "retrieve", "votes"]

NEIGHBOURS = (1, 2, 5, 10, 20, 50, 100, 200)
"""The numbers of neighbours of which one is chosen."""

RECALLS = (1, 5, 10)
"""The ranks at which the recall of a retrieval is given."""

_TEMPERATURE = 0.07
_NUMBERS = 2**25
"""Similarities that are in memory at a time."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest images of a gallery: `similarity` and `index`, (Q, k), the nearest first."""

    similarity: Tensor
    index: Tensor


def _unit(features_ND: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features_ND.float(), dim=1)


def _similarities(
    queries_QD: Tensor, gallery_ND: Tensor, on_step: Callable[[], None]
) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of queries and their cosine similarities to all of the gallery."""
    queries, gallery = _unit(queries_QD), _unit(gallery_ND)
    rows = max(1, _NUMBERS // max(1, len(gallery)))
    for start in range(0, len(queries), rows):
        on_step()
        block = slice(start, start + rows)
        yield block, queries[block] @ gallery.T


def nearest(
    queries_QD: Tensor,
    gallery_ND: Tensor,
    k: int,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Neighbours:
    """Return the k nearest images of the gallery to each query, or all if there are no more.

    `groups` are the numbers of the queries' (Q,) and the gallery's (N,) groups: an image is no
    neighbour of a query of its own group; what is left over then has the similarity of minus
    infinity.
    """
    similarity, index = [], []
    for rows, similar_QN in _similarities(queries_QD, gallery_ND, on_step):
        if groups is not None:
            of_queries, of_gallery = (
                torch.as_tensor(each).to(similar_QN.device) for each in groups
            )
            own_QN = of_queries[rows, None] == of_gallery
            similar_QN = similar_QN.masked_fill(own_QN, -torch.inf)
        values, places = similar_QN.topk(min(k, similar_QN.shape[1]), dim=1)
        similarity.append(values)
        index.append(places)
    return Neighbours(torch.cat(similarity), torch.cat(index))


def votes(neighbours: Neighbours, targets_NK: Tensor, ks: Sequence[int]) -> Iterator[Tensor]:
    """Yield for each k the shares (Q, K), float64 on the CPU, of the votes of k neighbours.

    `targets_NK` are the labels of the gallery, 0 and 1.
    """
    weight_Qk = (neighbours.similarity.double().cpu() / _TEMPERATURE).exp()
    targets, index_Qk = targets_NK.double().cpu(), neighbours.index.cpu()
    shares_QK = torch.zeros(len(index_Qk), targets.shape[1], dtype=torch.float64)
    done = 0
    for k in sorted(ks):
        # One neighbour at a time: the labels of all of them together can fill the memory.
        for place in range(done, min(k, index_Qk.shape[1])):
            shares_QK += weight_Qk[:, place, None] * targets[index_Qk[:, place]]
        done = k
        # A query all of whose neighbours are of its own group has no vote.
        yield shares_QK / weight_Qk[:, :k].sum(dim=1, keepdim=True).clamp(min=1e-300)


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What a search for images of the same class finds, for each query.

    `first` (Q,) int64 is the rank, from 1, of the first image of the gallery that shares a label
    with the query; 0 where none of those looked at does, which are ten at least. `precision` (Q,)
    float64 is the R-precision: of the R nearest images the share that shares a label, R being the
    number of all that do; 0 where none does.
    """

    first: Tensor
    precision: Tensor

    def recall(self, k: int) -> Tensor:
        """Return (Q,) bool: whether one of the k nearest images shares a label."""
        return (self.first > 0) & (self.first <= k)


def retrieve(
    queries_QD: Tensor,
    query_labels_QK: Tensor,
    gallery_ND: Tensor,
    gallery_labels_NK: Tensor,
    on_step: Callable[[], None] = lambda: None,
) -> Retrieval:
    """Search the gallery for images that share a label with each query; labels are 0 and 1."""
    queries_K, gallery_K = query_labels_QK.float(), gallery_labels_NK.float()
    first, precision = [], []
    for rows, similar_QN in _similarities(queries_QD, gallery_ND, on_step):
        relevant_QN = (queries_K[rows].to(similar_QN) @ gallery_K.to(similar_QN).T) > 0
        count_Q = relevant_QN.sum(dim=1)
        depth = min(max(int(count_Q.max()), *RECALLS), similar_QN.shape[1])
        order = similar_QN.topk(depth, dim=1).indices
        ranked = relevant_QN.gather(1, order)
        is_hit = ranked.any(dim=1)
        # A first hit behind the depth is behind all ranks that are asked for.
        first.append(torch.where(is_hit, ranked.int().argmax(dim=1) + 1, 0))
        hits = ranked.cumsum(dim=1).gather(1, (count_Q - 1).clamp(min=0)[:, None])[:, 0]
        precision.append(torch.where(count_Q > 0, hits.double() / count_Q.clamp(min=1), 0.0))
    return Retrieval(torch.cat(first).cpu(), torch.cat(precision).cpu())
