"""The published formulas, image by image in float64 with NumPy and SciPy, from given draws.

Each function takes an image (H, W, C) of levels, the draws of `Corruption.draws_of`, and the
parameters, and returns levels before they are truncated.
"""

from __future__ import annotations

import colorsys
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats

Array = NDArray[Any]
Draw = dict[str, Array]


def unit(image: Array) -> Array:
    return image.astype(np.float64) / 255


def levels(values: Array) -> Array:
    return np.clip(values, 0, 1) * 255


def truncated(values: Array) -> Array:
    return np.floor(values + 1e-6)


def channels_last(draw: Array) -> Array:
    return np.moveaxis(draw.astype(np.float64), 0, -1)


def luminance(image: Array) -> Array:
    return image[..., :1] if image.shape[2] == 1 else (image @ [0.299, 0.587, 0.114])[..., None]


def gaussian(image: Array, sigma: float, mode: str = "nearest", truncate: float = 4.0) -> Array:
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode=mode, truncate=truncate)


def gaussian_noise(image: Array, draw: Draw, std: float) -> Array:
    return levels(unit(image) + std * channels_last(draw["normal"]))


def speckle_noise(image: Array, draw: Draw, std: float) -> Array:
    return levels(unit(image) * (1 + std * channels_last(draw["normal"])))


def impulse_noise(image: Array, draw: Draw, amount: float) -> Array:
    uniform = channels_last(draw["uniform"])
    pepper, salt = uniform < np.float32(amount / 2), uniform < np.float32(amount)
    return np.where(pepper, 0, np.where(salt, 255, image))


def shot_noise(image: Array, draw: Draw, photons: float) -> Array:
    counts = stats.poisson.ppf(channels_last(draw["uniform"]), unit(image) * photons)
    return levels(np.maximum(counts, 0) / photons)


def defocus_blur(image: Array, draw: Draw, disk: Any) -> Array:
    reach, few = (8, 1) if disk.radius <= 8 else (disk.radius, 2)
    kernel = np.array(
        [
            [float(x * x + y * y <= disk.radius**2) for x in range(-reach, reach + 1)]
            for y in range(-reach, reach + 1)
        ]
    )
    kernel /= kernel.sum()
    weights = np.array([np.exp(-(x * x) / 2 / disk.alias_blur**2) for x in range(-few, few + 1)])
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, weights / weights.sum(), axis, mode="mirror")
    return levels(ndimage.correlate(unit(image), kernel[..., None], mode="mirror"))


def glass_blur(image: Array, draw: Draw, glass: Any) -> Array:
    pixels = truncated(levels(gaussian(unit(image), glass.sigma)))
    height, width = pixels.shape[:2]
    for deltas in draw["deltas"]:
        steps = iter(deltas.tolist())
        for row in range(height - glass.max_delta, glass.max_delta, -1):
            for column in range(width - glass.max_delta, glass.max_delta, -1):
                right, down = next(steps)
                pixels[row, column] = pixels[row + down, column + right]
    return levels(gaussian(pixels / 255, glass.sigma))


def along_line(image: Array, radius: int, sigma: float, angle: float) -> Array:
    height, width = image.shape[:2]
    weights = [np.exp(-(i * i) / (2 * sigma * sigma)) for i in range(2 * radius + 1)]
    total = np.zeros(image.shape)
    for i, weight in enumerate(weights):
        down = int(np.ceil(i * np.sin(np.radians(angle)) - 0.5))
        right = int(np.ceil(i * np.cos(np.radians(angle)) - 0.5))
        rows = [min(max(row + down, 0), height - 1) for row in range(height)]
        columns = [min(max(column + right, 0), width - 1) for column in range(width)]
        total += weight / sum(weights) * image[rows][:, columns]
    return total


def motion_blur(image: Array, draw: Draw, line: Any) -> Array:
    blurred = along_line(image.astype(np.float64), line.radius, line.sigma, draw["angle"])
    return np.floor(blurred + 0.5)


def zoomed(image: Array, factor: float) -> Array:
    sides = image.shape[:2]
    crop = [int(np.ceil(side / factor)) for side in sides]
    top, left = ((side - few) // 2 for side, few in zip(sides, crop, strict=True))
    part = image[top : top + crop[0], left : left + crop[1]]
    # Of one pixel SciPy makes one; and beyond the last pixel, by rounding, zero: hence `nearest`.
    larger = ndimage.zoom(part, (factor, factor, 1), order=1, mode="nearest")
    top, left = ((more - side) // 2 for more, side in zip(larger.shape, sides, strict=False))
    return larger[top : top + sides[0], left : left + sides[1]]


def zoom_blur(image: Array, draw: Draw, zoom: Any) -> Array:
    factors = np.arange(1, zoom.stop, zoom.step)
    total = unit(image) + sum(zoomed(unit(image), factor) for factor in factors)
    return levels(total / (len(factors) + 1))


def snow(image: Array, draw: Draw, layer: Any) -> Array:
    flakes = zoomed(layer.mean + layer.std * channels_last(draw["normal"]), layer.zoom)
    flakes[flakes < layer.threshold] = 0
    flakes = truncated(levels(flakes))
    flakes = along_line(flakes, layer.radius, layer.sigma, draw["angle"])
    flakes = np.floor(flakes + 0.5) / 255
    pixels = unit(image)
    white = np.maximum(pixels, luminance(pixels) * 1.5 + 0.5)
    return levels(layer.keep * pixels + (1 - layer.keep) * white + flakes + np.rot90(flakes, 2))


def frost(image: Array, draw: Draw, layer: Any, pictures: list[Array]) -> Array:
    """Take pictures (H, W, 3) that are larger than the image, at a scale of 1."""
    chosen, vertical, horizontal = draw["crop"]
    picture = pictures[int(chosen * len(pictures))]
    top = int(vertical * (picture.shape[0] - image.shape[0]))
    left = int(horizontal * (picture.shape[1] - image.shape[1]))
    crop = picture[top : top + image.shape[0], left : left + image.shape[1]].astype(np.float64)
    return np.clip(layer.image * image + layer.frost * crop, 0, 255)


def plasma(draws: Array, side: int, decay: float) -> Array:
    field = np.zeros((side, side))
    numbers = iter(draws.astype(np.float64))
    step, amplitude = side, 100.0
    while step >= 2:
        half = step // 2
        for kind in ("centre", "upper", "left"):
            down = half if kind in ("centre", "left") else 0
            right = half if kind in ("centre", "upper") else 0
            for row in range(down, side, step):
                for column in range(right, side, step):
                    around = (
                        [(-half, -half), (-half, half), (half, -half), (half, half)]
                        if kind == "centre"
                        else [(-half, 0), (half, 0), (0, -half), (0, half)]
                    )
                    mean = np.mean(
                        [field[(row + y) % side, (column + x) % side] for y, x in around]
                    )
                    field[row, column] = mean + amplitude**2 * next(numbers)
        step, amplitude = half, amplitude / decay
    return (field - field.min()) / (field.max() - field.min())


def fog(image: Array, draw: Draw, layer: Any) -> Array:
    side = 2
    while side < max(image.shape[:2]):
        side *= 2
    cloud = plasma(draw["plasma"], side, layer.decay)[: image.shape[0], : image.shape[1], None]
    pixels = unit(image)
    total = (pixels + layer.strength * cloud) * pixels.max() / (pixels.max() + layer.strength)
    return levels(total)


def in_hsv(image: Array, change: Callable[[float, float, float], tuple[float, ...]]) -> Array:
    pixels = [change(*colorsys.rgb_to_hsv(*pixel)) for pixel in unit(image).reshape(-1, 3)]
    return levels(np.array([colorsys.hsv_to_rgb(*pixel) for pixel in pixels]).reshape(image.shape))


def brightness(image: Array, draw: Draw, summand: float) -> Array:
    return in_hsv(image, lambda h, s, v: (h, s, min(1, v + summand)))


def saturate(image: Array, draw: Draw, change: Any) -> Array:
    return in_hsv(image, lambda h, s, v: (h, min(1, max(0, s * change.factor + change.summand)), v))


def contrast(image: Array, draw: Draw, factor: float) -> Array:
    means = unit(image).mean((0, 1))
    return levels((unit(image) - means) * factor + means)


def elastic_transform(image: Array, draw: Draw, warp: Any) -> Array:
    height, width = image.shape[:2]
    side = min(height, width)
    centre, reach = np.array([width // 2, height // 2]), side // 3
    before = [centre + reach * np.array(corner) for corner in ((1, 1), (1, -1), (-1, -1))]
    after = np.array(before) + draw["corners"] * warp.corners * side
    # The map takes `before` to `after`; the image is read at its inverse.
    forward = np.linalg.solve(np.c_[np.array(before), np.ones(3)], after).T
    backward = np.linalg.inv(np.vstack([forward, [0, 0, 1]]))
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    x, y, _ = np.tensordot(backward, np.stack([columns, rows, np.ones_like(rows)]), 1)
    pixels = resampled(unit(image), y, x, "mirror")
    shift_x, shift_y = (
        ndimage.gaussian_filter(
            shift.astype(np.float64), warp.sigma * side, mode="reflect", truncate=3
        )
        * (warp.alpha * side)
        if warp.alpha
        else 0
        for shift in draw["shifts"]
    )
    return levels(resampled(pixels, rows + shift_y, columns + shift_x, "reflect"))


def resampled(image: Array, rows: Array, columns: Array, mode: str) -> Array:
    planes = [
        ndimage.map_coordinates(image[..., channel], [rows, columns], order=1, mode=mode)
        for channel in range(image.shape[2])
    ]
    return np.stack(planes, -1)


def pixelate(image: Array, draw: Draw, share: float) -> Array:
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize(
        (max(1, int(width * share)), max(1, int(height * share))), Image.Resampling.BOX
    )
    return np.asarray(small.resize((width, height), Image.Resampling.BOX))


def jpeg_compression(image: Array, draw: Draw, quality: int) -> Array:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def gaussian_blur(image: Array, draw: Draw, sigma: float) -> Array:
    return levels(gaussian(unit(image), sigma))


def spatter(image: Array, draw: Draw, layer: Any) -> Array:
    noise = layer.mean + layer.std * channels_last(draw["normal"])
    liquid = gaussian(noise, layer.sigma)
    liquid[liquid < layer.threshold] = 0
    pixels = unit(image)
    if layer.mud:
        cover = gaussian(np.where(liquid > layer.threshold, 1.0, 0.0), layer.amount)
        cover[cover < 0.8] = 0
        return levels(pixels * (1 - cover) + cover * np.array([63, 42, 20]) / 255)
    drops = np.clip(np.floor(liquid[..., 0] * 255), 0, 255)
    distance = np.minimum(knight_distance(outlines(drops, 50, 150)), 20)
    height = histogram_equalized(truncated(ndimage.uniform_filter(distance, 3, mode="mirror")))
    light = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    lit = np.clip(ndimage.correlate(height, light, mode="mirror"), 0, 255)
    water = drops * np.round(ndimage.uniform_filter(lit, 3, mode="mirror"))
    if water.max():
        water = water / water.max()
    return levels(pixels + layer.amount * water[..., None] * np.array([175, 238, 238]) / 255)


def outlines(image: Array, low: float, high: float) -> Array:
    """Canny's edges as OpenCV finds them, pixel by pixel."""
    dx = ndimage.sobel(image, 1, mode="nearest")
    dy = ndimage.sobel(image, 0, mode="nearest")
    length = np.pad(np.abs(dx) + np.abs(dy), 1)
    peaks = np.zeros(image.shape, dtype=bool)
    for (row, column), x in np.ndenumerate(dx):
        y = dy[row, column]
        here = length[row + 1, column + 1]
        angle = np.degrees(np.arctan2(abs(y), abs(x)))
        if angle < 22.5:
            behind, ahead, strict = (0, -1), (0, 1), False
        elif angle > 67.5:
            behind, ahead, strict = (-1, 0), (1, 0), False
        else:
            sign = -1 if (x < 0) != (y < 0) else 1
            behind, ahead, strict = (-1, -sign), (1, sign), True
        first = length[row + 1 + behind[0], column + 1 + behind[1]]
        second = length[row + 1 + ahead[0], column + 1 + ahead[1]]
        above = here > first and (here > second or (not strict and here == second))
        peaks[row, column] = here > low and above
    groups, _ = ndimage.label(peaks, np.ones((3, 3)))
    strong = np.unique(groups[peaks & (length[1:-1, 1:-1] > high)])
    return peaks & np.isin(groups, strong)


def knight_distance(edges: Array) -> Array:
    """The length of the shortest way to an edge by steps of 1, 1.4 and 2.1969, in closed form.

    OpenCV rounds the steps to 16 binary digits.
    """
    diagonal, knight = 91750 / 65536, 143976 / 65536
    distance = np.full(edges.shape, np.inf)
    rows, columns = np.mgrid[: edges.shape[0], : edges.shape[1]]
    for row, column in np.argwhere(edges):
        y, x = np.abs(rows - row), np.abs(columns - column)
        long, short = np.maximum(x, y), np.minimum(x, y)
        near = (long - 2 * short) + knight * short
        far = diagonal * (2 * short - long) + knight * (long - short)
        distance = np.minimum(distance, np.where(2 * short <= long, near, far))
    return distance


def histogram_equalized(image: Array) -> Array:
    values, counts = np.unique(image, return_counts=True)
    if len(values) == 1:
        return image
    table = {values[0]: 0.0}
    for i in range(1, len(values)):
        table[values[i]] = np.round(counts[1 : i + 1].sum() * 255 / counts[1:].sum())
    return np.vectorize(table.get)(image)
