"""Least squares on two-level designs, and Shapley values.

A cell is a combination of tricks, coded +1 (with) and -1 (without). Which effects the cells can
tell apart is found here. Shapes: C cells, S seeds, T columns (intercept, tricks, pairs of tricks).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Model", "Term", "shapley", "signs_of", "terms_of"]

Term = tuple[int, ...]
"""An effect by the places of its factors: `(0,)` the first trick's, `(0, 1)` an interaction."""

_NOTHING = 1e-8
"""A number of magnitude 1 that is smaller than this is rounding."""


def terms_of(factors: int) -> list[Term]:
    """Return the main effects in the order of factors, then the two-way interactions."""
    return [*combinations(range(factors), 1), *combinations(range(factors), 2)]


def signs_of(label: str, factors: Sequence[str]) -> tuple[int, ...]:
    """Read a cell's label, `+A-B+C`; raise ValueError unless it names these factors in order."""
    signs, rest = [], label
    for factor in factors:
        if not rest.startswith((f"+{factor}", f"-{factor}")):
            raise ValueError(f"{label!r} is no cell of the factors {', '.join(factors)}")
        signs.append(1 if rest[0] == "+" else -1)
        rest = rest[1 + len(factor) :]
    if rest:
        raise ValueError(f"{label!r} is no cell of the factors {', '.join(factors)}")
    return tuple(signs)


@dataclass(frozen=True, kw_only=True)
class Model:
    """Intercept, main effects and two-way interactions, as far as cells can tell them apart.

    `signs` has a row for each cell. `kept` are the terms that are estimated: in their order, each
    that adds to the rank of the matrix. `aliases` names, for a term, those that it cannot be told
    from: for a kept one the others that would change its estimate if they were not zero, and for
    one left out the kept ones that hold it, with its equals.
    """

    signs: tuple[tuple[int, ...], ...]
    kept: tuple[Term, ...]
    aliases: Mapping[Term, tuple[Term, ...]]

    @classmethod
    @functools.lru_cache(maxsize=64)  # a live table asks again after every trial
    def of(cls, signs: tuple[tuple[int, ...], ...], factors: int) -> Model:
        """Find what the cells, a row of signs for each, can tell apart."""
        terms = terms_of(factors)
        kept, left_out = _independent(signs, [(), *terms])
        aliases = _aliases(signs, terms, kept, left_out)
        return cls(
            signs=signs,
            kept=tuple(term for term in kept if term),
            aliases={term: tuple(others) for term, others in aliases.items()},
        )

    def effects(self, outcomes_CS: NDArray[Any]) -> dict[Term, list[float]]:
        """Return each kept term's effect for each seed, by least squares: twice its coefficient.

        A main effect is the outcome with minus without the trick, averaged over the others; an
        interaction is half the difference of the first trick's effect with and without the second.
        Source: Box, Hunter and Hunter 2005, "Statistics for Experimenters", chapter 5.
        """
        import numpy as np

        matrix = _columns(self.signs, [(), *self.kept])
        coefficients = np.linalg.lstsq(
            matrix, np.asarray(outcomes_CS, dtype=np.float64), rcond=None
        )[0]
        # A factor goes from -1 to +1, which is two steps of its coefficient.
        return {
            term: (2 * row).tolist() for term, row in zip(self.kept, coefficients[1:], strict=True)
        }


def _independent(
    signs: tuple[tuple[int, ...], ...], terms: Sequence[Term]
) -> tuple[list[Term], list[Term]]:
    """Divide terms into those whose columns add to the rank, in order, and the others."""
    import numpy as np

    basis: list[NDArray[np.float64]] = []
    kept: list[Term] = []
    left_out: list[Term] = []
    for term in terms:
        residual = _columns(signs, [term])[:, 0]
        # Gram-Schmidt; the second time takes away what rounding left.
        for _ in range(2):
            for direction in basis:
                residual = residual - direction * (direction @ residual)
        size = float(np.linalg.norm(residual))
        if size > _NOTHING * math.sqrt(len(signs)):
            basis.append(residual / size)
            kept.append(term)
        else:
            left_out.append(term)
    return kept, left_out


def _aliases(
    signs: tuple[tuple[int, ...], ...],
    terms: Sequence[Term],
    kept: Sequence[Term],
    left_out: Sequence[Term],
) -> dict[Term, list[Term]]:
    """Return for each term the terms that it cannot be told from."""
    import numpy as np

    aliases: dict[Term, list[Term]] = {term: [] for term in terms}
    if not left_out or not kept:
        return aliases
    # Each column that is left out, as a sum of kept ones: (kept, left_out).
    weights = np.linalg.lstsq(_columns(signs, kept), _columns(signs, left_out), rcond=None)[0]
    holds = np.abs(weights) > _NOTHING
    for i, term in enumerate(left_out):
        held = [kept[k] for k in np.flatnonzero(holds[:, i]).tolist() if kept[k]]
        equals = (np.abs(weights - weights[:, [i]]) < _NOTHING).all(0)
        equals |= (np.abs(weights + weights[:, [i]]) < _NOTHING).all(0)
        aliases[term] = held + [t for j, t in enumerate(left_out) if equals[j] and t != term]
        for other in held:
            aliases[other].append(term)
    return aliases


def _columns(signs: Sequence[tuple[int, ...]], terms: Sequence[Term]) -> NDArray[Any]:
    """Return the matrix of products of signs, (C, len(terms)); the empty term is the intercept."""
    import numpy as np

    rows = [[math.prod(row[i] for i in term) for term in terms] for row in signs]
    return np.array(rows, dtype=np.float64).reshape(len(signs), len(terms))


def shapley(signs: Sequence[tuple[int, ...]], outcomes_CS: NDArray[Any]) -> list[list[float]]:
    """Return each factor's Shapley value for each seed; the cells are all 2^k, in any order.

    `sum over sets T without i of |T|! (k - |T| - 1)! / k! * (v(T + i) - v(T))`: what the trick
    adds, averaged over all orders in which the tricks could be put in. The values add up to all
    tricks minus none. Source: Shapley 1953.
    """
    import numpy as np

    k = len(signs[0])
    place = {
        sum(1 << i for i, sign in enumerate(row) if sign > 0): c for c, row in enumerate(signs)
    }
    values = np.asarray(outcomes_CS, dtype=np.float64)[[place[cell] for cell in range(1 << k)]]
    cells = np.arange(1 << k)
    sizes = np.array([cell.bit_count() for cell in range(1 << k)])
    # |T|! (k - |T| - 1)! / k! of the formula, for each size of T.
    weights = np.array(
        [1 / (k * math.comb(k - 1, size)) if size < k else 0.0 for size in range(k + 1)]
    )
    shapley_values = []
    for i in range(k):
        without = cells[cells & (1 << i) == 0]
        gains = values[without | (1 << i)] - values[without]
        shapley_values.append((weights[sizes[without]] @ gains).tolist())
    return shapley_values
