"""What the tests of decoders share."""

from __future__ import annotations

import pytest

from trickbag.data.decoding import region, turbojpeg


@pytest.fixture(params=["with the library", "without it"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Decode parts of JPEGs with the library TurboJPEG, and as on a machine that has none."""
    if request.param == "without it":
        monkeypatch.setattr(region, "turbojpeg", lambda: None)
    else:
        # Of the extra `turbo`, which the tests need.
        assert turbojpeg.turbojpeg() is not None
    return str(request.param)
