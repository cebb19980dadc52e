"""The data settings of a recipe: where images are, how they are cropped, flipped and normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, cast

from trickbag.data.decoding.limits import MAX_PIXELS
from trickbag.data.decoding.pixel_format import PixelFormat, PixelRange, given_ranges
from trickbag.data.parts_setting import check_parts_setting
from trickbag.data.policies.policies import MAX_COUNT, Policy
from trickbag.data.size import as_size
from trickbag.errors import UserError
from trickbag.ranges import MAX_EPOCHS, Above, AtLeast, Between, Fraction, Positive, Seed
from trickbag.settings import Settings

__all__ = [
    "EVAL_CROP",
    "INTERPOLATION",
    "MAX_FOLDS",
    "MAX_IMAGE_SIZE",
    "MAX_WORKERS",
    "MEAN",
    "RESIZE",
    "STD",
    "DataConfig",
    "ImageSize",
    "Interpolation",
    "Resize",
    "WorkerKind",
    "by_channel",
    "default_eval_crop",
]

MAX_CHANNELS = 1024
"""The most channels of a network's images."""

Colour = tuple[float, ...]
Scale = tuple[Annotated[float, Positive], ...]
Band = Annotated[int, AtLeast(0, MAX_CHANNELS - 1)]
Area = Between(0, 1, open_low=True)
Ratio = Above(0, 1000)
MaskScale = Above(0, 100)
Interpolation = Literal["bilinear", "bicubic"]
Resize = Literal["crop", "squash", "letterbox"]
WorkerKind = Literal["threads", "processes"]

MAX_IMAGE_SIZE = 16_384
"""The largest side of a network's images, in pixels: 3 GiB for one image in float32."""

_Side = Annotated[int, AtLeast(8, MAX_IMAGE_SIZE)]
ImageSize = _Side | tuple[_Side, _Side]
"""The type of `image_size`: the side of squares, or height and width."""

MAX_WORKERS = 1024

MAX_FOLDS = 100
"""The most folds of the images."""

EVAL_CROP = 0.875
"""The default of `eval_crop`: 224 of 256 pixels (He et al. 2018, section 2.1)."""

MEAN: Colour = (123.68, 116.779, 103.939)
"""The default of `mean` (He et al. 2018, section 2.1)."""

STD: Scale = (58.393, 57.12, 57.375)
"""The default of `std` (He et al. 2018, section 2.1)."""

INTERPOLATION: Interpolation = "bilinear"
"""The default of `interpolation`."""

RESIZE: Resize = "crop"
"""The default of `resize`."""


def default_eval_crop(resize: Resize) -> float:
    """Return the share of the scaled image that validation sees, where nothing says another.

    What crops nothing in training crops nothing in validation either.
    """
    return EVAL_CROP if resize == "crop" else 1.0


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """Data and preprocessing.

    Where the images are:
    - source: a SOURCE of the command line. image_root: the folder of a table's images, or several
      of them, or that of a torchvision data set. val_source: another SOURCE for the validation
      part, whose classes are joined by name.
    - image_column, label_column: the columns of a table (a CSV or Parquet file) or of a data set of
      Hugging Face, or the extensions of the entries of shards; several label columns of a table
      hold 0 and 1, one for each class. None: they are found by their usual names.
    - group_column: the column whose value images share that belong together, such as those of one
      patient.
    - multi_label: an image of a table has one or several labels. This is never guessed.
      label_separator: what divides them in a cell; `blank` is any run of blanks. None: `|`, `;` or
      `,` if one of these stands in the labels, else blanks.
    - merge_labels: class names that differ in letter case or blanks alone, or are the same number,
      are one class, under the most frequent spelling. By default they are classes of their own, and
      a note names them.
    - na_labels: what a label of a table is that stands for a missing value (`NaN`, `NA`, `null`,
      `None` and the like). `missing`: rows with it are left out and counted, as those without a
      label are. `class`: the name of a class.
    - ignore_index: of masks, the number of pixels that have no class and count nothing, besides 255
      and a class called `void`.
    - parts: the folders of the parts of a folder tree, as PART:FOLDER, such as
      `train:fold1,train:fold2,val:fold3`. Each holds class folders; `.` is the source itself, and
      `*` stands for each class (`train:*/train`). None: they are read from depth and names.
    - val_fraction: the share that is held back, stratified, if the source has no validation part.
      Which images are held back depends on split_seed alone.
    - folds, fold: the training and validation images together are divided into so many folds,
      stratified, and the fold of this number, from 0, validates. Copies and groups stay together,
      and a test part stays apart. Which images are in a fold depends on split_seed alone.
    - inner_folds, inner_fold: the training images alone are divided into so many folds, stratified,
      and the fold of this number, from 0, takes the place of the validation part. The source's
      own validation and test parts are not used: they stay unseen by what is chosen on the folds.
    - outside: images that lie outside of the folder of a CSV file's images, or of a folder tree, by
      `..`, absolute names or links. `read`: they are used, which a note says for a CSV file.
      `refuse`: they are left out by name.
    - channels: the numbers, from 0, of the bands of a file that are the channels of its image, or
      `all`. None is RGB: grey is repeated, palette and CMYK are converted, transparency is laid
      over white. The network gets as many input channels.
    - pixel_range: the stored values that become 0 and 255, of images that are not of 8 bits; of
      8-bit ones where all training images are. None: it is taken from the training images. A run
      stores it by kind: (kind, lowest, highest).
    - max_pixels: an image of more pixels is left out before it is decoded, and so is one whose
      decoding takes more than 12 bytes for each of them.
    - duplicates: images that are the same, byte for byte. `note`: all are used, and a note names
      them. `drop`: those that lie in two classes, or have different boxes or masks, are left out,
      and of the others the training copy of an image that lies in another part, and all but the
      first in a part.
    - max_bad_fraction: the share of damaged images above which a run stops.
    - streaming: shards (`wds:`) are read in sequence, shuffled by shard and buffer, for data that
      are too far away or too large for reading each image by itself. Images are not read before the
      training.
    - workers: the number of workers that load images; None chooses by device and source.
      worker_kind: whether they are threads or processes; None chooses by number, source and policy.
      Neither ever changes the images.
    - dct_scaling: a crop of a JPEG that is scaled down to half its size or less is decoded at 1/2,
      1/4 or 1/8 of the image's size, and then scaled down the rest of the way: faster for photos
      that are much larger than image_size. The pixels differ slightly. Images for validation are
      decoded at their size.
    - hold_images: training images stay in memory once they are decoded. None: where all have one
      size, their files are checked, and they fit into a share of the memory (`HELD_SHARE`).

    Training images:
    - image_size: in pixels, the side of square images, or height and width (`128x512`). None: the
      source's natural size, else default_size, else (None) the size that the network is made for.
      It is multiplied by size_factor and rounded.
    - crop_area: the range of a crop's area, as a share of the image; with `letterbox` of the image
      with its borders. crop_ratio: the range of its aspect ratio, width / height, as a multiple of
      that of image_size; with `squash` as a multiple of that of the image. flip_prob: the
      probability that a crop is mirrored, if the source allows it.
    - vertical_flip_prob: the probability that an image is flipped top to bottom. quarter_turns: it
      is turned by 0, 90, 180 or 270 degrees, each equally often. Boxes and masks follow.
    - mask_scale: of images with masks, the range of a random factor of their size: 1 is the size at
      which the whole image fits into image_size. It takes the place of crop_area and crop_ratio.
    - policy: random changes of a crop's pixels, before it is mirrored. views: if above 0, the crop
      itself stays, and this many changed views come beside it, for a loss that compares them.
    - class_power: each class gets its number of images to this power as its share of an epoch. 1:
      every image once. 0: every class equally often.
    - augmentation_repeats: how often an epoch has each of its images, each time with a crop and
      changes of its own. It has so many fewer images: as many samples as before.
    - repeat_epochs: None draws new crops in every epoch, and mirrors by batch. A number n draws
      both by image, and epoch e repeats those of epoch `e mod n`, so that what was computed for
      them once can be used again.

    Validation images:
    - eval_ratio: their size as a multiple of `image_size`, rounded.
    - eval_crop: the side of the centre that is cut out, as a share of the scaled image's: images
      are scaled to the size divided by it, rounded up. None: that of the weights that a run starts
      from, if it is known and they are resized in the same way. For other networks it is 1 with
      `squash` and `letterbox`; with `crop` it is the network's own value at the network's own
      size, EVAL_CROP at any other.

    All images:
    - resize: how an image of another shape becomes one of image_size, in training and in
      validation. `crop`: what does not fit is cut off. `squash`: width and height are scaled each
      by itself. `letterbox`: the image is scaled as a whole, and gets borders of the mean colour.
      None: as with mean and std below, else RESIZE.
    - interpolation: how images are resized, in training and in validation. mean, std: of each
      channel, in the order R, G, B, on the scale 0 to 255. None: those of the weights that a run
      starts from, if they are known, else INTERPOLATION, MEAN and STD. For other than three
      channels these are averaged.
    """

    introduced_later: ClassVar[tuple[str, ...]] = (
        "augmentation_repeats",
        "channels",
        "dct_scaling",
        "duplicates",
        "fold",
        "folds",
        "group_column",
        "hold_images",
        "ignore_index",
        "image_column",
        "inner_fold",
        "inner_folds",
        "interpolation",
        "label_column",
        "label_separator",
        "mask_scale",
        "max_pixels",
        "merge_labels",
        "na_labels",
        "outside",
        "parts",
        "pixel_range",
        "quarter_turns",
        "resize",
        "streaming",
        "val_source",
        "vertical_flip_prob",
        "worker_kind",
    )

    source: str = "digits"
    image_root: str | tuple[str, ...] | None = None
    val_source: str | None = None
    image_column: str | None = None
    label_column: str | tuple[str, ...] | None = None
    group_column: str | None = None
    image_size: ImageSize | None = None
    default_size: _Side | None = None
    size_factor: Annotated[float, Above(0, 100)] = 1.0
    crop_area: tuple[Annotated[float, Area], Annotated[float, Area]] = (0.08, 1.0)
    crop_ratio: tuple[Annotated[float, Ratio], Annotated[float, Ratio]] = (0.75, 4 / 3)
    mask_scale: tuple[Annotated[float, MaskScale], Annotated[float, MaskScale]] = (0.5, 2.0)
    flip_prob: Annotated[float, Fraction] = 0.5
    vertical_flip_prob: Annotated[float, Fraction] = 0.0
    quarter_turns: bool = False
    policy: Policy | None = None
    views: Annotated[int, Between(0, MAX_COUNT)] = 0
    repeat_epochs: Annotated[int, AtLeast(1, MAX_EPOCHS)] | None = None
    eval_crop: Annotated[float, Area] | None = None
    eval_ratio: Annotated[float, Above(0, 100)] = 1.0
    mean: Colour | None = None
    std: Scale | None = None
    interpolation: Interpolation | None = None
    resize: Resize | None = None
    val_fraction: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.2
    split_seed: Annotated[int, Seed] = 0
    folds: Annotated[int, Between(2, MAX_FOLDS)] | None = None
    fold: Annotated[int, AtLeast(0, MAX_FOLDS - 1)] = 0
    inner_folds: Annotated[int, Between(2, MAX_FOLDS)] | None = None
    inner_fold: Annotated[int, AtLeast(0, MAX_FOLDS - 1)] = 0
    class_power: Annotated[float, Fraction] = 1.0
    augmentation_repeats: Annotated[int, Between(1, MAX_COUNT)] = 1
    multi_label: bool = False
    label_separator: str | None = None
    merge_labels: bool = False
    na_labels: Literal["missing", "class"] = "missing"
    ignore_index: Annotated[int, Between(0, 255)] | None = None
    max_bad_fraction: Annotated[float, Fraction] = 0.1
    outside: Literal["read", "refuse"] = "read"
    duplicates: Literal["note", "drop"] = "note"
    parts: tuple[str, ...] | None = None
    channels: tuple[Band, ...] | Literal["all"] | None = None
    pixel_range: tuple[float, float] | tuple[PixelRange, ...] | None = None
    max_pixels: Annotated[int, AtLeast(1, 2**32)] = MAX_PIXELS
    streaming: bool = False
    workers: Annotated[int, AtLeast(0, MAX_WORKERS)] | None = None
    worker_kind: WorkerKind | None = None
    hold_images: bool | None = None
    dct_scaling: bool = False

    @property
    def image_roots(self) -> tuple[str, ...]:
        """The folders of `image_root`, of which there may be none."""
        if isinstance(self.image_root, str):
            return (self.image_root,)
        return self.image_root or ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("image_root", "label_column"):
            if (values := getattr(self, name)) == ():
                raise UserError(f"data.{name} = {values}: an empty list names nothing")
            if isinstance(values, tuple) and len(values) == 1:
                object.__setattr__(self, name, values[0])
        if self.label_separator is not None:
            if not self.label_separator:
                raise UserError("data.label_separator is empty", "for blanks give the word blank")
            if not self.label_separator.strip():
                object.__setattr__(self, "label_separator", "blank")
            if not self.multi_label:
                raise UserError(
                    f"data.label_separator = {self.label_separator!r} divides the labels of an "
                    "image, of which there is one",
                    "add --set data.multi_label=true, or leave it out",
                )
        _check_fold("fold", self.fold, self.folds)
        _check_fold("inner_fold", self.inner_fold, self.inner_folds)
        if self.parts is not None:
            check_parts_setting(self.parts)
        # A square is a number, so that it has one id.
        if isinstance(self.image_size, tuple):
            object.__setattr__(self, "image_size", as_size(*self.image_size))
        for name in ("crop_area", "crop_ratio", "mask_scale"):
            low, high = getattr(self, name)
            if low > high:
                raise UserError(
                    f"data.{name} = {low:g},{high:g}: the first value must not be above the second"
                )
        chosen = self.channels
        if isinstance(chosen, tuple) and (not chosen or len(set(chosen)) < len(chosen)):
            raise UserError(
                f"data.channels = {','.join(map(str, chosen)) or 'nothing'}: must be numbers of "
                "bands from 0, each once, such as 0,1,2"
            )
        for kind, low, high in self.pixels.ranges:
            if low >= high:
                raise UserError(
                    f"data.pixel_range = {low:g},{high:g} ({kind}): the first value must be below "
                    "the second"
                )
        if self.streaming and self.class_power != 1:
            raise UserError(
                f"data.class_power = {self.class_power:g}: with data.streaming every image comes "
                "once in an epoch, in the order of the shards",
                "leave one of them out (balanced_sampling, data.streaming)",
            )
        if self.augmentation_repeats > 1:
            _check_repeats(self)
        if self.streaming and self.duplicates == "drop":
            raise UserError(
                "data.duplicates = drop reads all images before the training, which data.streaming "
                "does not",
                "leave one of them out",
            )
        if self.views and self.policy is None:
            raise UserError(
                f"data.views = {self.views} needs a data.policy, which makes them",
                "use the trick aug_mix",
            )

    @property
    def pixels(self) -> PixelFormat:
        """The channels and ranges of images, as far as they are settled."""
        ranges = self.pixel_range or ()
        if self.is_range_given:
            ranges = given_ranges(*cast("tuple[float, float]", self.pixel_range))
        channels = self.channels if isinstance(self.channels, tuple) else None
        return PixelFormat(cast("tuple[PixelRange, ...]", ranges), channels)

    @property
    def is_range_given(self) -> bool:
        """Whether `pixel_range` is two numbers, as people give it; not yet ranges by kind."""
        if not self.pixel_range:
            return False
        return not isinstance(self.pixel_range[0], tuple)


def _check_repeats(data: DataConfig) -> None:
    """Raise UserError for data whose images cannot come several times in an epoch."""
    repeats = f"data.augmentation_repeats = {data.augmentation_repeats}"
    if data.streaming:
        raise UserError(
            f"{repeats}: with data.streaming every image comes once in an epoch, in the order of "
            "the shards",
            "leave one of them out (repeated_augmentation, data.streaming)",
        )
    if data.repeat_epochs is not None:
        raise UserError(
            f"{repeats}: with data.repeat_epochs all copies of an image have the same crop",
            "leave one of them out (repeated_augmentation, distillation:view=replay)",
        )


def _check_fold(name: str, fold: int, folds: int | None) -> None:
    """Raise UserError for the number of a fold that is not there."""
    if fold >= (folds or 1):
        there = (
            f"without data.{name}s there are none"
            if folds is None
            else f"of {folds} folds the last is {folds - 1}"
        )
        raise UserError(f"data.{name} = {fold}: {there}")


def by_channel(values: Colour, count: int) -> Colour:
    """Return values of R, G and B for `count` channels: their mean for each, unless it is three."""
    return values if count == len(values) else (sum(values) / len(values),) * count
