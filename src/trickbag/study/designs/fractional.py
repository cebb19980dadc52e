"""Two-level designs: which combinations of factors are run, and which effects they confound.

A factor is on or off. Sets of factors are bit masks: bit i stands for factor i. Such a set is an
effect too: one bit a main effect, two an interaction; the product of two effects is the exclusive
or of their sets. Source: Box, Hunter & Hunter, *Statistics for Experimenters*; Fries & Hunter 1980
(minimum aberration).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["TwoLevelDesign", "product", "smallest"]


@dataclass(frozen=True, kw_only=True)
class TwoLevelDesign:
    """A regular two-level design.

    It has all combinations of its first factors; each further factor is a product of some of them.
    `generators[i]` is the set of first factors whose product is the i-th further one; without
    generators the design is the full one.
    """

    factors: int
    generators: tuple[int, ...] = ()

    @property
    def basic(self) -> int:
        """Number of first factors, of which the design has all combinations."""
        return self.factors - len(self.generators)

    def runs(self) -> Iterator[tuple[bool, ...]]:
        """Yield the runs, a value for each factor, in standard (Yates) order.

        The first factor changes fastest. The first run has every basic factor off; a further
        factor, as a product of signs, is on where an even number of its factors is off. So the run
        with all factors on is part of every design.
        """
        for on in range(2**self.basic):
            basic = (bool(on >> i & 1) for i in range(self.basic))
            further = ((generator & ~on).bit_count() % 2 == 0 for generator in self.generators)
            yield (*basic, *further)

    def words(self) -> tuple[int, ...]:
        """Return the defining relation: the products of factors that are the same in every run.

        The empty product is left out.
        """
        relation = [0]
        for i, generator in enumerate(self.generators):
            factor = 1 << (self.basic + i)
            relation += [word ^ generator ^ factor for word in relation]
        return tuple(relation[1:])

    @property
    def resolution(self) -> int | None:
        """Length of the shortest word of the defining relation; None for a full design.

        In resolution 3 main effects may be mixed up with interactions of two factors, in 4 only
        interactions with one another, in 5 neither.
        """
        return min((word.bit_count() for word in self.words()), default=None)

    def aliases(self) -> list[tuple[int, ...]]:
        """Return the groups of effects that the design cannot tell apart.

        Effects are main effects and interactions of two factors. Members and groups are in order:
        main effects first, then interactions, by factor. An effect that stands alone is in no
        group.
        """
        effects = [1 << i for i in range(self.factors)]
        effects += [first | second for first, second in itertools.combinations(effects, 2)]
        groups: dict[int, list[int]] = {}
        for effect in effects:
            groups.setdefault(self._column(effect), []).append(effect)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    def _column(self, effect: int) -> int:
        """Return an effect as a product of basic factors alone; aliased effects have the same."""
        column = effect & ((1 << self.basic) - 1)
        for i, generator in enumerate(self.generators):
            if effect >> (self.basic + i) & 1:
                column ^= generator
        return column


def product(effect: int, names: Sequence[str]) -> str:
    """Write a set of factors by name: `A*B*C`."""
    return "*".join(name for i, name in enumerate(names) if effect >> i & 1)


@functools.cache
def smallest(factors: int, resolution: int) -> TwoLevelDesign:
    """Return the design of the fewest runs whose resolution is at least `resolution` (3 or more).

    Among those the one of minimum aberration: the fewest words of the shortest length, of the next,
    and so on; of equal ones the first. It is the full design where no smaller one will do.
    """
    for basic in range(1, factors):
        generators = _search(basic, factors - basic, resolution)
        if generators is not None:
            return TwoLevelDesign(factors=factors, generators=generators)
    return TwoLevelDesign(factors=factors)


def _search(basic: int, further: int, resolution: int) -> tuple[int, ...] | None:
    """Return the generators of minimum aberration, or None where no set of them will do.

    All sets are searched. A branch is left where its words are already no better than those of the
    best design: more generators only add words.
    """
    products = [
        sum(1 << i for i in members)
        for size in range(resolution - 1, basic + 1)
        for members in itertools.combinations(range(basic), size)
    ]
    best: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def extend(
        chosen: tuple[int, ...],
        relation: list[int],
        lengths: tuple[int, ...],
        candidates: list[int],
    ) -> None:
        nonlocal best
        if best is not None and lengths >= best[0]:
            return
        if len(chosen) == further:
            best = lengths, chosen
            return
        factor = 1 << (basic + len(chosen))
        sizes: set[int] = set()
        for place, generator in enumerate(candidates):
            if len(chosen) + len(candidates) - place < further:
                return
            if not chosen:
                # The basic factors can be renamed: the first set of a size stands for all of it.
                if generator.bit_count() in sizes:
                    continue
                sizes.add(generator.bit_count())
            new = [word ^ generator ^ factor for word in relation]
            counted = list(lengths)
            for word in new:
                counted[word.bit_count()] += 1
            if not any(counted[:resolution]):
                extend(
                    (*chosen, generator), relation + new, tuple(counted), candidates[place + 1 :]
                )

    extend((), [0], (0,) * (basic + further + 1), products)
    return best[1] if best is not None else None
