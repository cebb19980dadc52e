"""Density matching: how well a trained network knows images that a policy has changed.

A policy is good if the network of a fold, trained without any policy, has a low loss on images of
its fold that the policy changed: they then look as if they were of the same distribution. Nothing
is trained. Source: Lim et al. 2019, Fast AutoAugment, arXiv 1905.00397, algorithm 1. As in its
code, of some draws of an image the one of the lowest loss counts. Shapes: N images, K classes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image

from trickbag.data.dataset import prepare
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.loading.crops import planes
from trickbag.errors import DoesNotApply, RunFailed, Stopped
from trickbag.evaluate.trained import Trained
from trickbag.optim.losses import binary_cross_entropy
from trickbag.streams import stream
from trickbag.train.folder.result import Result
from trickbag.train.machine.isolation import isolated
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trickbag.data.config import DataConfig
    from trickbag.data.dataset import Dataset
    from trickbag.data.policies.policies import Policy
    from trickbag.data.source import Part
    from trickbag.optim.config import Device
    from trickbag.recipe import Recipe
    from trickbag.study.trial import Trial

__all__ = ["DRAWS", "DensityTrial", "HeldBack", "drawn", "policy_of"]

DRAWS = 5
"""How many times the policy is drawn for each image, as in the code of Fast AutoAugment."""


@dataclass(frozen=True, kw_only=True)
class DensityTrial:
    """Measure the policy of a trial on the network of its fold; train nothing.

    `networks` are the ids of the trained trials by the number of their fold, `data.inner_fold`;
    `folder`/ID is the run of each. `dataset` is the data where all trials have the same; else each
    process prepares it for itself. Of a fold with more than `most` images so many are drawn, the
    same for every policy; None is all. A recipe without a policy is measured too: on the images as
    they are. Of the result's metrics `density_loss` is the mean over the images of the lowest loss
    of `draws` draws, in nats; `density_top1` the percentage of images of which a draw is
    recognised, None with several labels an image; `images` their number. Equal seeds draw equal
    numbers for any policy. Raises Stopped after SIGTERM or SIGINT, with nothing to save.
    """

    folder: Path
    networks: Mapping[int, str]
    draws: int = DRAWS
    most: int | None = None
    dataset: Dataset | None = None

    def __call__(self, trial: Trial) -> Result:
        """Measure; return the result. A policy that does not apply is a result too."""
        with StopSignal() as stop:
            try:
                with stop.interrupting():
                    return self._measured(trial)
            except KeyboardInterrupt:
                if not stop.name:
                    raise
                raise Stopped(
                    f"stopped by {stop.name} while a policy was measured", signal=stop.name
                ) from None

    def _measured(self, trial: Trial) -> Result:
        recipe = trial.recipe
        try:
            policy = policy_of(recipe)
            run = self.folder / self.networks[recipe.data.inner_fold]
            shared = _Shared(self.dataset)
            held_back = _held_back(run, recipe.data, recipe.training.device, self.most, shared)
        except DoesNotApply as error:
            return _result(trial, {}, error=str(error), status="does_not_apply")
        network = held_back.network
        threads = recipe.training.threads or 1
        if network.plan is not None:
            threads = network.plan.threads
        with isolated(threads, network.device.type):
            metrics = held_back.measured(policy, trial.seed, self.draws)
        return _result(trial, metrics)


def policy_of(recipe: Recipe) -> Policy | None:
    """Return the policy that a recipe's images have, from a trick or from `data.policy`."""
    data = recipe.data
    for trick in recipe.tricks:
        if trick.slot == "policy":
            data = trick.data(data)
    return data.policy


def _result(
    trial: Trial, metrics: dict[str, float | int | None], error: str | None = None, status: str = ""
) -> Result:
    return Result(
        trial=trial.id,
        label=trial.label,
        seed=trial.seed,
        metrics=metrics,
        error=error,
        status=status,
    )


class _Shared(NamedTuple):
    """Data that were handed over; any two are equal, so that the cache does not compare them."""

    dataset: Dataset | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shared)

    def __hash__(self) -> int:
        return 0


# One fold alone: the crops of several might not fit into the memory.
@functools.lru_cache(maxsize=1)
def _held_back(
    run: Path, data: DataConfig, device: Device, most: int | None, shared: _Shared
) -> HeldBack:
    """Load the network of a fold, and the images that it was not trained with."""
    network = Trained.load(run, device, precision="float32")
    dataset = shared.dataset or prepare(data)
    if dataset.classes != network.classes:
        raise RunFailed(f"{run} has other classes than the data: they changed during the search")
    return HeldBack(network, drawn(dataset.val, most))


def drawn(part: Part, most: int | None) -> Part:
    """Return a part with at most so many of its images, drawn at random; None is all."""
    if most is None or len(part) <= most:
        return part
    places = stream(0, "images of density trials").permutation(len(part))[:most]
    return part.subset(np.sort(places))


class HeldBack:
    """A network, and the crops of images that it was not trained with, uint8 RGB.

    `rows` are the places of the images in their part. Images that cannot be read are left out, as
    in validation. Raises RunFailed where none can be read, and DoesNotApply unless there are three
    channels.
    """

    def __init__(self, network: Trained, part: Part) -> None:
        if network.preprocessing.count != 3:
            raise DoesNotApply(
                "policies work on red, green and blue, and the images have "
                f"{network.preprocessing.count} channels",
                "search on images of three channels",
            )
        self.network = network
        self.crops: list[Image.Image] = []
        self.rows: list[int] = []
        for row in range(len(part)):
            try:
                crop_CHW = network.preprocessing.crop(part.read(row))
            except DecodeError:
                continue
            self.crops.append(Image.fromarray(np.ascontiguousarray(crop_CHW.transpose(1, 2, 0))))
            self.rows.append(row)
        if not self.rows:
            raise RunFailed("none of the images that were held back can be read")
        self.labels = torch.from_numpy(part.labels[self.rows])

    def measured(
        self, policy: Policy | None, seed: int, draws: int
    ) -> dict[str, float | int | None]:
        """Return the metrics of a policy."""
        # Of an image that the policy leaves as it is, which is frequent, the loss is known.
        plain_loss_N, plain_right_N = self._plain
        loss_N, right_N = np.full(len(self.crops), math.inf), np.zeros(len(self.crops), bool)
        places, pictures = [], []

        def take(place_N: list[int], images: list[Image.Image]) -> None:
            losses_N, rights_N = self._scores(place_N, images)
            np.minimum.at(loss_N, place_N, losses_N)
            np.logical_or.at(right_N, place_N, rights_N)

        for place, image in self._drawn(policy, seed, draws):
            if image is self.crops[place]:
                loss_N[place] = min(loss_N[place], plain_loss_N[place])
                right_N[place] |= plain_right_N[place]
                continue
            places.append(place)
            pictures.append(image)
            if len(places) == self.network.batch_size:
                take(places, pictures)
                places, pictures = [], []
        if places:
            take(places, pictures)
        loss = float(loss_N.mean())
        multi_label = self.labels.ndim > 1
        return {
            "density_loss": loss if math.isfinite(loss) else None,
            "density_top1": None if multi_label else 100 * float(right_N.mean()),
            "images": len(self.crops),
        }

    def _drawn(
        self, policy: Policy | None, seed: int, draws: int
    ) -> Iterator[tuple[int, Image.Image]]:
        """Yield place and image of each draw; an image that stays is that of `crops` itself."""
        for place, (row, crop) in enumerate(zip(self.rows, self.crops, strict=True)):
            if policy is None:
                yield place, crop
                continue
            for number in range(draws):
                yield place, policy(crop, stream(seed, "density", number, row))

    @functools.cached_property
    def _plain(self) -> tuple[np.ndarray, np.ndarray]:
        """Loss (N,) of the crops as they are, and whether each is recognised (N,)."""
        size, places = self.network.batch_size, list(range(len(self.crops)))
        scores = [
            self._scores(places[i : i + size], self.crops[i : i + size])
            for i in range(0, len(places), size)
        ]
        losses, rights = zip(*scores, strict=True)
        return np.concatenate(losses), np.concatenate(rights)

    def _scores(
        self, places: list[int], images: list[Image.Image]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return loss, and whether the label has the largest logit, of each image, (N,)."""
        pixels_NCHW = torch.from_numpy(np.stack([planes(image) for image in images]))
        logits_NK = self.network.logits(pixels_NCHW).cpu()
        labels = self.labels[places]
        if labels.ndim > 1:
            targets_NK = labels.float()
            loss_N = binary_cross_entropy(logits_NK, targets_NK, logits_NK.new_ones(len(labels)))
            right_N = torch.zeros(len(labels), dtype=torch.bool)
        else:
            loss_N = torch.nn.functional.cross_entropy(logits_NK, labels, reduction="none")
            right_N = logits_NK.argmax(dim=1) == labels
        # A network that has no finite logits knows nothing of the image.
        losses_N = loss_N.nan_to_num(nan=math.inf, posinf=math.inf).double().numpy()
        return losses_N, right_N.numpy() & np.isfinite(losses_N)
