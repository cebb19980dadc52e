"""AutoAugment: two random operations on each image, from a policy learned for a data set."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.data.policies.magnitudes import Interpolation
from trickbag.data.policies.policies import LearnedPolicy, Table, check_table
from trickbag.data.policies.policy_file import read_table
from trickbag.errors import UserError
from trickbag.ranges import Between
from trickbag.settings import FromFile
from trickbag.tricks.trick import Trick, set_policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.data.config import DataConfig

__all__ = ["TABLES", "AutoAugment"]

# As published: some sub-policies occur twice, and one step has a probability of 0. Operations
# that take no magnitude have 0 here, whatever number the published table gives them.
_IMAGENET: Table = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 0), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 0)),
    (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 0)),
    (("color", 0.4, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
)
_CIFAR10: Table = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("auto_contrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("auto_contrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("auto_contrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("auto_contrast", 0.9, 0)),
)
_SVHN: Table = (
    (("shear_x", 0.9, 4), ("invert", 0.2, 0)),
    (("shear_y", 0.9, 8), ("invert", 0.7, 0)),
    (("equalize", 0.6, 0), ("solarize", 0.6, 6)),
    (("invert", 0.9, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.6, 0), ("rotate", 0.9, 3)),
    (("shear_x", 0.9, 4), ("auto_contrast", 0.8, 0)),
    (("shear_y", 0.9, 8), ("invert", 0.4, 0)),
    (("shear_y", 0.9, 5), ("solarize", 0.2, 6)),
    (("invert", 0.9, 0), ("auto_contrast", 0.8, 0)),
    (("equalize", 0.6, 0), ("rotate", 0.9, 3)),
    (("shear_x", 0.9, 4), ("solarize", 0.3, 3)),
    (("shear_y", 0.8, 8), ("invert", 0.7, 0)),
    (("equalize", 0.9, 0), ("translate_y", 0.6, 6)),
    (("invert", 0.9, 0), ("equalize", 0.6, 0)),
    (("contrast", 0.3, 3), ("rotate", 0.8, 4)),
    (("invert", 0.8, 0), ("translate_y", 0.0, 2)),
    (("shear_y", 0.7, 6), ("solarize", 0.4, 8)),
    (("invert", 0.6, 0), ("rotate", 0.8, 4)),
    (("shear_y", 0.3, 7), ("translate_x", 0.9, 3)),
    (("shear_x", 0.1, 6), ("invert", 0.6, 0)),
    (("solarize", 0.7, 2), ("translate_y", 0.6, 7)),
    (("shear_y", 0.8, 4), ("invert", 0.8, 0)),
    (("shear_x", 0.7, 9), ("translate_y", 0.8, 3)),
    (("shear_y", 0.8, 5), ("auto_contrast", 0.7, 0)),
    (("shear_x", 0.7, 2), ("invert", 0.1, 0)),
)

TABLES: Mapping[str, Table] = MappingProxyType(
    {"imagenet": _IMAGENET, "cifar10": _CIFAR10, "svhn": _SVHN}
)
"""The 25 learned sub-policies of each data set.

Each is two steps of (operation, probability, magnitude from 0 to 9). An image gets one sub-policy
at random. Source: Cubuk et al. 2019, appendix A, as torchvision has them.
"""


@dataclass(frozen=True, kw_only=True)
class AutoAugment(Trick):
    """Apply a learned policy: two random operations on each image, for ImageNet, CIFAR-10 or SVHN.

    `table` is the policy of one of these data sets; None is `imagenet`, unless there is a `policy`.
    `policy` is the table of another one, such as `trickbag search autoaugment` finds: on a command
    line the name of its file. The trick holds its content, so that a run does not need the file.

    `version="torchvision"` has the magnitudes of torchvision. `"assemble"` has those of the
    Assemble-ResNet code, which has the ImageNet table alone: it posterizes to 2 or 3 bits and
    enhances in one direction only. Its bug in the contrast operation is not repeated. `fill` is the
    grey level of pixels that come from outside the image; None is 0 for torchvision, 128 for
    Assemble-ResNet.
    """

    name: ClassVar[str] = "auto_augment"
    slot: ClassVar[str] = "policy"
    paper: ClassVar[str] = "Cubuk et al. 2019, arXiv 1805.09501; Lee et al. 2020, arXiv 2001.06268"
    needs_rgb: ClassVar[bool] = True
    introduced_later: ClassVar[tuple[str, ...]] = ("policy",)

    table: Literal["imagenet", "cifar10", "svhn"] | None = None
    policy: Annotated[Table, FromFile("a policy file", read_table)] | None = None
    version: Literal["torchvision", "assemble"] = "torchvision"
    fill: Annotated[int, Between(0, 255)] | None = None
    interpolation: Interpolation = "nearest"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy is None:
            # Written out: the id of a run says which table it used.
            object.__setattr__(self, "table", self.table or "imagenet")
        else:
            check_table(self.policy, "standard", "auto_augment.policy")
            if self.table is not None:
                raise UserError(
                    f"auto_augment.table = {self.table!r} and auto_augment.policy exclude each "
                    "other",
                    "leave one out, or set it to none",
                )
        if self.version == "assemble" and self.table != "imagenet":
            given = "policy" if self.table is None else f"table = {self.table!r}"
            raise UserError(
                f"auto_augment.{given}: version = assemble is there for imagenet alone",
                "use version = torchvision",
            )

    def data(self, data: DataConfig) -> DataConfig:
        """Set the policy."""
        # Pixels from outside the image are black in torchvision, mid-grey in the Assemble code.
        assemble = self.version == "assemble"
        policy = LearnedPolicy(
            table=self.policy or TABLES[self.table or "imagenet"],
            ranges="assemble" if assemble else "standard",
            fill=self.fill if self.fill is not None else 128 * assemble,
            interpolation=self.interpolation,
        )
        return set_policy(data, policy, self.name)
