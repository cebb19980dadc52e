"""What holds for every image format, from one table of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.builders.formats import FORMATS, SIZES, open_with_pillow, turned
from tests.builders.images import photo
from trickbag.data.decoding.decode import EXTENSIONS, DecodeError, decode, image_format
from trickbag.data.decoding.formats import file_format
from trickbag.data.decoding.frames import count_frames

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.formats import ImageFormat

WIDTH, HEIGHT = 48, 32
PHOTO = Image.fromarray(photo(WIDTH, HEIGHT))
MUTATIONS = 24
LONGEST_S = 2.0

every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The photo in each format, by the name in the table."""
    return {name: form.write(PHOTO.convert(form.modes[-1])) for name, form in FORMATS.items()}


def file_of(form: ImageFormat, files: dict[str, bytes]) -> bytes:
    return next(data for name, data in files.items() if FORMATS[name] is form)


def in_mode(mode: str) -> Image.Image:
    if mode == "P":
        return PHOTO.quantize(32)
    image = PHOTO.convert(mode)
    if mode in ("LA", "RGBA"):
        ramp = np.linspace(0, 255, WIDTH).astype(np.uint8)[None].repeat(HEIGHT, 0)
        image.putalpha(Image.fromarray(ramp))
    return image


def over_white(image: Image.Image) -> np.ndarray:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


@every_format
def test_pixels_are_pillows_in_every_mode(form: ImageFormat) -> None:
    for mode in form.modes:
        source = in_mode(mode)
        data = form.write(source)
        decoded = decode(data)
        np.testing.assert_array_equal(decoded, over_white(open_with_pillow(data)), err_msg=mode)
        np.testing.assert_array_equal(decode(data, verified=True), decoded, err_msg=mode)
        if form.exact:
            np.testing.assert_array_equal(decoded, over_white(source), err_msg=mode)


@every_format
def test_a_format_is_known_by_content_and_by_name(
    form: ImageFormat, files: dict[str, bytes], tmp_path: Path
) -> None:
    data = file_of(form, files)
    assert image_format(data) == form.kind
    assert form.suffix in EXTENSIONS
    (tmp_path / "photo").write_bytes(data)
    assert file_format(tmp_path / "photo") == (form.kind if form.signed else None)
    other = tmp_path / ("photo.png" if form.kind == "JPEG" else "photo.jpg")
    other.write_bytes(data)
    np.testing.assert_array_equal(decode(other), decode(data))


@every_format
def test_what_is_cut_off_is_noticed(form: ImageFormat, files: dict[str, bytes]) -> None:
    data = file_of(form, files)
    for eighth in range(8):
        with pytest.raises(DecodeError, match=form.kind if eighth else "empty file"):
            decode(data[: len(data) * eighth // 8])


@every_format
def test_a_header_with_another_size_is_noticed(form: ImageFormat, files: dict[str, bytes]) -> None:
    data = file_of(form, files)
    for name, size in SIZES.items():
        resized = form.resized(data, *size(WIDTH, HEIGHT))
        assert resized != data
        if name in form.unnoticed:
            decode(resized)
            continue
        with pytest.raises(DecodeError, match=form.kind):
            decode(resized)


@every_format
def test_a_header_of_a_bomb_is_refused(form: ImageFormat, files: dict[str, bytes]) -> None:
    data = file_of(form, files)
    with pytest.raises(DecodeError, match=r"data\.max_pixels"):
        decode(form.resized(data, 16_000, 16_000))
    with pytest.raises(DecodeError, match=r"48 x 32 pixels .* data\.max_pixels = 1,535"):
        decode(data, WIDTH * HEIGHT - 1)
    # The largest need of memory is that of JPEG 2000 in tiles as small as these.
    assert decode(data, 16 * WIDTH * HEIGHT).shape == (HEIGHT, WIDTH, 3)


@every_format
def test_a_header_of_zeros_is_no_image(form: ImageFormat, files: dict[str, bytes]) -> None:
    data = file_of(form, files)
    with pytest.raises(DecodeError):
        decode(bytes(32) + data[32:])
    with pytest.raises(DecodeError):
        decode(bytes(len(data)))
    with pytest.raises(DecodeError):
        decode(form.resized(data, 0, 0) if form.kind != "WebP" else bytes(99))


@pytest.mark.parametrize("form", [form for form in FORMATS.values() if form.oriented])
def test_an_orientation_counts_once(form: ImageFormat) -> None:
    for orientation in range(1, 9):
        tag = Image.Exif()
        tag[0x0112] = orientation
        data = form.write(PHOTO, exif=tag.tobytes())
        decoded = decode(data).astype(int)
        for other in range(1, 9):
            expected = np.asarray(turned(PHOTO, other)).astype(int)
            same = decoded.shape == expected.shape and abs(decoded - expected).mean() < 9
            assert same == (other == orientation), (orientation, other)


@every_format
def test_mutations_are_refused_or_decoded_in_time(
    form: ImageFormat, files: dict[str, bytes]
) -> None:
    data = file_of(form, files)
    rng = np.random.default_rng(len(data))
    for _ in range(MUTATIONS):
        mutated = bytearray(data)
        for place in rng.integers(0, min(len(data), int(rng.choice([64, 512, len(data)]))), 3):
            mutated[place] = int(rng.integers(256))
        start = time.process_time()
        try:
            pixels = decode(bytes(mutated))
        except DecodeError:
            pass
        else:
            assert pixels.ndim == 3
            count_frames(bytes(mutated), image_format(bytes(mutated)))
        assert time.process_time() - start < LONGEST_S
