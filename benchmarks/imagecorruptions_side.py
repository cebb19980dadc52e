"""Apply the package imagecorruptions; runs in an environment of its own, without trickbag.

PYTHON benchmarks/imagecorruptions_side.py IMAGES.npy

IMAGES.npy has uint8 images (N, H, W, 3). Each line of standard input is a request, each line of
standard output its answer, both JSON. `{"time": NAME, "count": N}` answers with the seconds of
processor time that the first N images take at all five severities. `{"images": NAME, "severity": S,
"count": N, "path": FILE, "draws": FILES}` writes the corrupted images to FILE; `draws` are files
of random numbers for each image, which the package is then given instead of drawing its own.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import sys
import time
import types
import warnings

import numpy as np

warnings.simplefilter("ignore")

import cv2  # noqa: E402
import imagecorruptions  # noqa: E402
from imagecorruptions import corruptions  # noqa: E402
from skimage.filters import gaussian  # noqa: E402

SEVERITIES = (1, 2, 3, 4, 5)
PACKAGES = ("imagecorruptions", "numpy", "opencv-python", "pillow", "scikit-image", "scipy")


def gaussian_of_colours(image, sigma=1, multichannel=None, **further):
    """Take the argument that scikit-image had until 0.19, and which the package still gives."""
    return gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None, **further)


corruptions.gaussian = gaussian_of_colours


class GivenNumbers:
    """Stands in for `numpy.random`, with numbers that were drawn before."""

    def __init__(self, name, draws):
        self.name, self.draws = name, draws
        self.rest = iter(())
        if name == "glass_blur":
            self.rest = iter(draws["deltas"].reshape(-1, 2))
        elif name == "fog":
            self.rest = iter(draws["plasma"].astype(np.float64))

    def normal(self, size, scale, loc=0.0):
        """Scale the given normal numbers."""
        normal = np.moveaxis(self.draws["normal"].astype(np.float64), 0, -1)
        return loc + scale * normal.reshape(size)

    def uniform(self, low, high, shape=None):
        """Return the given angle, or scale the next of the given numbers."""
        if shape is None:
            return float(self.draws["angle"])
        count = int(np.prod(shape))
        return high * np.array([next(self.rest) for _ in range(count)]).reshape(shape)

    def randint(self, low, high, size):
        """Return the next of the given pairs."""
        return next(self.rest)


@contextlib.contextmanager
def given(name, file):
    """Let the package draw the numbers of a file, if there is one."""
    genuine = corruptions.np
    if file:
        with np.load(file) as loaded:
            draws = dict(loaded)
        names = {key: getattr(genuine, key) for key in dir(genuine) if key != "random"}
        corruptions.np = types.SimpleNamespace(**names, random=GivenNumbers(name, draws))
    try:
        yield
    finally:
        corruptions.np = genuine


def seconds(images, name, count):
    np.random.seed(0)
    started = time.process_time()
    for severity in SEVERITIES:
        for image in images[:count]:
            imagecorruptions.corrupt(image, severity, name)
    return time.process_time() - started


def write_images(images, request):
    np.random.seed(1)
    files = request["draws"] or [None] * request["count"]
    results = []
    for image, file in zip(images[: request["count"]], files, strict=True):
        with given(request["images"], file):
            results.append(imagecorruptions.corrupt(image, request["severity"], request["images"]))
    np.save(request["path"], np.stack(results))


def main():
    cv2.setNumThreads(1)
    images = np.load(sys.argv[1])
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    folder = corruptions.__file__.rsplit("/", 1)[0] + "/frost"
    print(json.dumps({"versions": versions, "frost": folder}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        if "time" in request:
            answer["seconds"] = seconds(images, request["time"], request["count"])
        else:
            write_images(images, request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
