"""How often the predictions of a network change along perturbation sequences, as mFR and by name.

Hendrycks and Dietterich (2019), arXiv 1903.12261, section 4.2.

Shapes: N images of a batch, F frames of a sequence, K classes, C channels, H and W pixels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trickbag.data.config import MAX_IMAGE_SIZE
from trickbag.data.size import as_size, height_width
from trickbag.errors import Note, RunFailed, UserError, choices, shown
from trickbag.evaluate.robustness.comparable import is_imagenet
from trickbag.evaluate.robustness.crops import CropBatch, Crops
from trickbag.evaluate.robustness.perturbations.details import PerturbationDetails
from trickbag.evaluate.robustness.perturbations.scene import Scene
from trickbag.evaluate.robustness.perturbations.sequences import frames_of, looks_around, takes
from trickbag.evaluate.robustness.perturbations.tables import (
    IMAGENET_P,
    PERTURBATIONS,
    Sequences,
    table_for,
)
from trickbag.functional.device import copied
from trickbag.metrics.bootstrap import mean_intervals
from trickbag.metrics.flips import (
    NOISE_PERTURBATIONS,
    TEST_PERTURBATIONS,
    flip_rate,
    flips,
    mean_flip_probability,
    mfr,
    top5_distances,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained
    from trickbag.metrics.bootstrap import Interval

__all__ = ["FrameOf", "evaluate_perturbations", "with_surroundings"]

FrameOf = Callable[[str, int, "NDArray[np.uint8]"], None]
"""Takes the pixels (H, W, C) of one image for each perturbation and frame."""

_TOP = 5
_AROUND = 0.75
"""Pixels around a frame on each side, as a share of its own: at the scale 0.4 that much is seen."""
_BATCH_BYTES = 2**28
"""The most bytes of a batch of images with what lies around them."""
_IMAGES, _SIZE = 50_000, (224, 224)
"""Of how many images, and of which height and width, AlexNet's flip probabilities are."""


def evaluate_perturbations(
    trained: Trained,
    *,
    data: str | None = None,
    image_root: str | tuple[str, ...] | None = None,
    part: str | None = None,
    limit: int | None = None,
    names: Sequence[str] | None = None,
    extra: bool = False,
    seed: int = 0,
    batch_size: int | None = None,
    workers: int | None = None,
    checking: Callable[[int, int], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    frame_of: FrameOf | None = None,
) -> EvaluationRecord:
    """Evaluate how often a network's prediction changes from frame to frame.

    The images are those of `evaluate`: with `limit` at most so many, spread over the part. Each is
    read once, with what the network's crop leaves out, which comes into view where the image moves.
    `names` are by default the 10 perturbations of mFR, with `extra` all 14. The draws of a frame
    depend on `seed`, the perturbation, the frame and the image's place in the part alone. One frame
    of a batch is in memory at a time.

    `checking(done, total)` is called while files are checked, `progress` while images are
    evaluated, and `frame_of` takes the frames of the first image.

    Raises UserError for a network with several labels an image, for unknown names and for data that
    cannot be used; RunFailed if too many images cannot be read, or the network gives finite logits
    for none.
    """
    if trained.thresholds is not None:
        raise UserError(
            f"{trained.path} gives several labels an image, and flips are of one prediction",
            "evaluate it without --perturbations",
        )
    wanted, notes = _wanted(trained, names, extra)
    size = height_width(trained.preprocessing.image_size)
    table = table_for(*size)
    preprocessing = trained.preprocessing
    if any(map(looks_around, wanted)):
        preprocessing = with_surroundings(preprocessing)
    largest = max(1, _BATCH_BYTES // math.prod(preprocessing.crop_shape))
    crops = Crops(
        trained,
        data=data,
        image_root=image_root,
        part=part,
        limit=limit,
        batch_size=min(batch_size or trained.batch_size, largest),
        workers=workers,
        preprocessing=preprocessing,
        progress=checking,
    )
    counts = {name: _Counts() for name in wanted}
    picture, done, total = "", 0, len(crops) * len(wanted)
    with crops:
        for batch in crops.batches():
            scene = _scene(trained, batch, size, seed)
            shown_frames = None if picture else frame_of
            for name in wanted:
                top = _top_classes(trained, scene, name, table, shown_frames)
                counts[name].add(top, noise=name in NOISE_PERTURBATIONS)
                done += len(batch.index)
                if progress is not None:
                    progress(done, total)
            picture = picture or crops.selection.part.names[int(batch.index[0])]
    settings = {
        "limit": limit,
        "seed": seed,
        "table": table.name,
        "names": list(wanted),
        "image_size": list(size),
    }
    return _record(crops, counts, settings, notes, picture if frame_of else "")


def _wanted(
    trained: Trained, names: Sequence[str] | None, extra: bool
) -> tuple[tuple[str, ...], list[Note]]:
    """Return the perturbations to evaluate in the order of the tables, and what is left out."""
    given = (PERTURBATIONS if extra else TEST_PERTURBATIONS) if names is None else names
    for name in given:
        if name not in PERTURBATIONS:
            raise UserError(
                f"no perturbation {shown(name)}: must be one of {choices(PERTURBATIONS)}"
            )
    channels = trained.preprocessing.count
    absent = [name for name in PERTURBATIONS if name in given and not takes(name, channels)]
    wanted = tuple(name for name in PERTURBATIONS if name in given and name not in absent)
    if not wanted:
        raise UserError(
            f"no perturbation to evaluate for images of {channels} channels",
            f"name one of {choices(name for name in PERTURBATIONS if takes(name, channels))}",
        )
    if not absent:
        return wanted, []
    reason = f"not defined for images of {channels} channels, and left out: {', '.join(absent)}"
    return wanted, [Note("choice", None, reason)]


def with_surroundings(preprocessing: Preprocessing) -> Preprocessing:
    """Return a preprocessing that leaves around each crop what can come into view."""

    def wider(pixels: int) -> int:
        # Even, so that the crop begins at the same pixel of the scaled image.
        margin = 2 * math.ceil(pixels * _AROUND / 2)
        return pixels + 2 * min(margin, (MAX_IMAGE_SIZE - pixels) // 4 * 2)

    height, width = map(wider, height_width(preprocessing.image_size))
    # Black, as in the published scripts. Borders that belong to the crop stay as they are.
    mean = preprocessing.mean
    if preprocessing.resize_policy != "letterbox":
        mean = (0.0,) * preprocessing.count
    return dataclasses.replace(preprocessing, image_size=as_size(height, width), mean=mean)


def _scene(trained: Trained, batch: CropBatch, size: tuple[int, int], seed: int) -> Scene:
    return Scene(
        images=copied(batch.images, trained.device),
        size=size,
        photo=height_width(trained.preprocessing.resize),
        rows=batch.index.tolist(),
        seed=seed,
    )


def _top_classes(
    trained: Trained, scene: Scene, name: str, table: Sequences, frame_of: FrameOf | None
) -> NDArray[np.int64]:
    """Return the five most probable classes (N, F, 5) of each frame, the most probable first.

    They are fewer if the network has fewer classes; all are -1 where logits are not finite.
    """
    ranked = []
    for number, frame_NCHW in enumerate(frames_of(scene, name, table)):
        logits_NK = trained.logits(frame_NCHW)
        top_NT = logits_NK.topk(min(_TOP, logits_NK.shape[1]), dim=1).indices
        # Of equal logits the first counts, as in top-1 elsewhere.
        top_NT[:, 0] = logits_NK.argmax(dim=1)
        finite_N1 = logits_NK.isfinite().all(dim=1, keepdim=True)
        ranked.append(torch.where(finite_N1, top_NT, -1).cpu().numpy())
        if frame_of is not None:
            pixels = frame_NCHW[0].permute(1, 2, 0).cpu().numpy()
            frame_of(name, number, np.ascontiguousarray(pixels))
    return np.stack(ranked, axis=1)


@dataclass(kw_only=True)
class _Counts:
    """The pairs of frames of a perturbation, and how many of them differ in the prediction.

    `flip_shares` and `distances` have the share of changes and the mean top-5 distance of each
    image, in the order in which they were evaluated.
    """

    flip_shares: list[float] = dataclasses.field(default_factory=list)
    distances: list[float] = dataclasses.field(default_factory=list)
    pairs: int = 0
    flips: int = 0
    distance: int = 0
    frames: int = 0
    not_finite: int = 0
    ranked: int = _TOP

    def add(self, top_NFT: NDArray[np.int64], *, noise: bool) -> None:
        changed_NP = flips(top_NFT[:, :, 0], noise=noise)
        self.pairs += changed_NP.size
        self.flips += int(changed_NP.sum())
        self.flip_shares += changed_NP.mean(axis=1).tolist()
        self.frames += top_NFT[:, :, 0].size
        self.not_finite += int((top_NFT[:, :, 0] < 0).sum())
        self.ranked = top_NFT.shape[2]
        if self.ranked == _TOP:
            distance_NP = top5_distances(top_NFT, noise=noise)
            self.distance += int(distance_NP.sum())
            self.distances += distance_NP.mean(axis=1).tolist()

    @property
    def probability(self) -> float:
        """The flip probability in percent."""
        return 100 * self.flips / self.pairs


def _record(
    crops: Crops,
    counts: dict[str, _Counts],
    settings: dict[str, Any],
    notes: list[Note],
    picture: str,
) -> EvaluationRecord:
    trained = crops.trained
    not_finite = sum(each.not_finite for each in counts.values())
    if not_finite and not_finite == sum(each.frames for each in counts.values()):
        raise RunFailed(
            f"{trained.weights_title} gives finite logits for no frame",
            "try --precision float32, or give the weights of another run",
        )
    probabilities = {name: each.probability for name, each in counts.items()}
    obstacle = _obstacle(trained, settings["table"])
    comparable = obstacle is None
    distances = {
        # With five classes or fewer the five most probable are all there are.
        name: each.distance / each.pairs if len(trained.classes) > _TOP else None
        for name, each in counts.items()
    }
    tested = [distances[name] for name in TEST_PERTURBATIONS if name in distances]
    known = [distance for distance in tested if distance is not None]
    return crops.record(
        "perturbations",
        metrics={
            "mfr": mfr(probabilities) if comparable else None,
            "mean_flip_probability": mean_flip_probability(probabilities),
            "mean_top5_distance": sum(known) / len(known) if known else None,
        },
        settings=settings,
        details=PerturbationDetails(
            flip_probabilities=probabilities,
            flip_rates={
                name: flip_rate(name, value) if comparable else None
                for name, value in probabilities.items()
            },
            top5_distances=distances,
            pairs={name: each.pairs for name, each in counts.items()},
            picture=picture,
        ).to_dict(),
        notes=(*notes, *_notes(crops, probabilities, obstacle, not_finite)),
        intervals=_intervals(counts, is_comparable=comparable, is_ranked=bool(known)),
    )


def _intervals(
    counts: dict[str, _Counts], *, is_comparable: bool, is_ranked: bool
) -> dict[str, Interval]:
    """Return the intervals of the metrics over images, of which each has all sequences.

    AlexNet's flip probabilities, by which mfr divides, are taken as they are.
    """
    tested = {name: counts[name] for name in TEST_PERTURBATIONS if name in counts}
    if not tested:
        return {}
    shares_NS = np.array([each.flip_shares for each in tested.values()]).T
    values = {"mean_flip_probability": 100 * shares_NS.mean(axis=1)}
    if is_comparable and len(tested) == len(TEST_PERTURBATIONS):
        rates_S = np.array([flip_rate(name, 100.0) for name in tested])
        values["mfr"] = (shares_NS * rates_S).mean(axis=1)
    if is_ranked:
        distances_SN = [each.distances for each in tested.values()]
        values["mean_top5_distance"] = np.mean(distances_SN, axis=0)
    return mean_intervals(values)


def _obstacle(trained: Trained, table: str) -> str | None:
    """Return why AlexNet's flip probabilities do not apply; None if they do."""
    reason = "AlexNet's flip probabilities, by which mfr divides, are of"
    if not is_imagenet(trained.classes):
        return f"{reason} ImageNet's 1,000 classes, which are not those of the network"
    if table != IMAGENET_P.name:
        return f"{reason} the parameters imagenet_p, and these sequences have {table}"
    return None


def _notes(
    crops: Crops, probabilities: dict[str, float], obstacle: str | None, not_finite: int
) -> list[Note]:
    notes = []
    if obstacle is not None:
        reason = f"{obstacle}: mfr is undefined, and mean_flip_probability has no divisor"
        notes.append(Note("choice", None, reason))
    missing = [name for name in TEST_PERTURBATIONS if name not in probabilities]
    if missing:
        reason = f"not evaluated: {', '.join(missing)}; mfr is undefined, and"
        mean = "mean_flip_probability is of the others alone"
        notes.append(Note("choice", None, f"{reason} {mean}"))
    if obstacle is None and not missing:
        notes.append(Note("choice", None, _differences(crops)))
    if not_finite:
        reason = f"logits are not finite for {not_finite:,} frames: each counts as a change"
        notes.append(Note("weights", None, reason))
    return notes


def _differences(crops: Crops) -> str:
    """Say in what these frames differ from those of AlexNet's flip probabilities."""
    differences = ["frames that were compressed as a video, and these are not"]
    if crops.images != _IMAGES:
        differences.append(f"{_IMAGES:,} images, and these are of {crops.images:,}")
    rows, columns = height_width(crops.trained.preprocessing.image_size)
    if (rows, columns) != _SIZE:
        differences.append(f"images of 224x224 px, and these have {columns}x{rows} px")
    reason = "AlexNet's flip probabilities, by which mfr divides, are of"
    return f"{reason} {'; of '.join(differences)}"
