"""Parts of a source that are taken together, such as training and validation for folds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from trickbag.data.source import EncodedPart, Stamp
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from trickbag.data.decoding.region import Drawn
    from trickbag.data.source import Part

__all__ = ["JoinedPart", "joined_parts"]


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedPart(EncodedPart):
    """Images of parts that lie in different places, one part behind the other.

    places: (N, 2) int64, the member of each image, and which of its images it is.
    """

    by_image: ClassVar[tuple[str, ...]] = (*EncodedPart.by_image, "places")

    members: tuple[EncodedPart, ...]
    places: NDArray[np.int64]

    def __post_init__(self) -> None:
        super().__post_init__()
        # What is settled for the whole holds for each member, which reads its own images.
        members = tuple(
            replace(member, pixels=self.pixels, max_pixels=self.max_pixels, verified=self.verified)
            for member in self.members
        )
        object.__setattr__(self, "members", members)

    @classmethod
    def of(cls, first: EncodedPart, second: EncodedPart) -> JoinedPart:
        """Join two parts of any kind of encoded images."""
        numbers = [np.full(len(part), i) for i, part in enumerate((first, second))]
        rows = [np.arange(len(part)) for part in (first, second)]
        values = first._values_with(second)
        return cls(
            **{name: values[name] for name in EncodedPart.by_image},
            pixels=first.pixels,
            max_pixels=first.max_pixels,
            verified=first.verified and second.verified,
            members=(first, second),
            places=np.stack((np.concatenate(numbers), np.concatenate(rows)), axis=1),
        )

    def _member(self, i: int) -> tuple[EncodedPart, int]:
        member, row = self.places[i].tolist()
        return self.members[member], row

    @property
    def place(self) -> str:
        """The place of the first member."""
        return self.members[0].place

    def encoded(self, i: int) -> bytes:
        """Return the bytes of image `i`."""
        member, row = self._member(i)
        return member.encoded(row)

    def stamp(self, i: int) -> Stamp | None:
        """Return the stamp of image `i` in its own place."""
        member, row = self._member(i)
        return member.stamp(row)

    def read(self, i: int) -> NDArray[np.uint8]:
        """Read image `i` as its member does."""
        member, row = self._member(i)
        return member.read(row)

    def read_box(
        self, i: int, draw: Callable[[int, int], Drawn], *, verified: bool = False
    ) -> tuple[Drawn, NDArray[np.uint8]]:
        """Read a box of image `i` as its member does."""
        member, row = self._member(i)
        return member.read_box(row, draw, verified=verified)


def joined_parts(parts: Sequence[Part], source: str) -> Part:
    """Return one part with the images of all, in their order.

    Raises UserError for parts that cannot be one: images in memory of several sizes, annotated
    images in several folders, and images of two places with the same names.
    """

    def join(first: Part, second: Part) -> Part:
        joined = first.joined(second)
        if joined is not None:
            return joined
        if (
            isinstance(first, EncodedPart)
            and isinstance(second, EncodedPart)
            and first.annotations == second.annotations == "classes"
        ):
            if same := sorted(set(first.names) & set(second.names)):
                raise cannot(f"the name {same[0]} is that of an image of both")
            return JoinedPart.of(first, second)
        raise cannot("they lie in different places, or are of different sizes")

    def cannot(reason: str) -> UserError:
        return UserError(
            f"data source {source!r}: its training and validation images cannot be divided "
            f"together (data.folds): {reason}",
            "give a source without a validation part",
        )

    return reduce(join, parts)
