"""Finding tricks: built in, registered by another package, and `package.module:Class`."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.tricks.table import TABLE
from trickbag.errors import UserError
from trickbag.tricks import Trick, available, builtin, find, key

if TYPE_CHECKING:
    from pathlib import Path

NAMES = sorted(TABLE)

MODULE = """
    from dataclasses import dataclass
    from typing import ClassVar
    from trickbag.tricks import Trick

    @dataclass(frozen=True, kw_only=True)
    class Nothing(Trick):
        name: ClassVar[str] = "nothing"
        paper: ClassVar[str] = "none"
        strength: float = 1.0

    @dataclass(frozen=True, kw_only=True)
    class Nameless(Trick):
        paper: ClassVar[str] = "none"

    class Bare(Trick):
        name: ClassVar[str] = "bare"
        paper: ClassVar[str] = "none"

    class Outer:
        Inner = Nothing

    number = 3
"""


def package(folder: Path, module: str, source: str = MODULE, *, entry_points: str = "") -> None:
    """Write a module; with entry points also the metadata of an installed package."""
    (folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    if entry_points:
        metadata = folder / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8"
        )
        (metadata / "entry_points.txt").write_text(
            f"[trickbag.tricks]\n{entry_points}\n", encoding="utf-8"
        )


def test_every_trick_is_found_by_name() -> None:
    assert list(builtin()) == NAMES
    for name in NAMES:
        assert find(name) is builtin()[name]
        assert find(name).name == name
        assert key(find(name)) == name


@pytest.mark.parametrize("name", NAMES)
def test_every_trick_is_a_documented_frozen_dataclass(name: str) -> None:
    trick = builtin()[name]
    assert trick.__doc__
    first = trick.__doc__.splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= 100 - 4, "`list tricks` and `show` print it in one line"
    with pytest.raises(dataclasses.FrozenInstanceError):
        TABLE[name].trick.name = "other"  # type: ignore[misc]


def test_listing_tricks_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from trickbag.tricks import builtin; builtin(); "
        "print(sorted({'torch', 'numpy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_no_trick_imports_another() -> None:
    for name in NAMES:
        module = builtin()[name].__module__
        others = {trick.__module__ for trick in builtin().values()} - {module}
        code = (
            f"import sys; from trickbag import tricks; import {module}; "
            f"print(sorted({others!r} & {{*sys.modules}}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]", name


def test_an_unknown_name_suggests_similar_ones() -> None:
    with pytest.raises(
        UserError,
        match=r"no trick 'mixupp'; did you mean mixup\? There are: activation, anti_alias, "
        r"asymmetric, aug_mix",
    ):
        find("mixupp")
    with pytest.raises(
        UserError, match=r"no trick 'zzz'; there are: activation, .*; or package.module:Class"
    ):
        find("zzz")


def test_class_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "acme_plain")
    monkeypatch.syspath_prepend(tmp_path)
    trick = find("acme_plain:Nothing")
    assert issubclass(trick, Trick)
    assert trick.name == "nothing"
    assert key(trick) == "acme_plain:Nothing"
    assert find("acme_plain:Outer.Inner") is trick


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("acme_wrong:Nameless", r"'acme_wrong:Nameless' is no trick: it needs a text `name`"),
        (
            "acme_wrong:Bare",
            r"is no trick: it must be decorated with @dataclass\(frozen=True, kw_only=True\)",
        ),
        ("acme_wrong:number", r"is no trick: it is not a subclass of trickbag.tricks.Trick"),
        ("acme_wrong:Missing", r"module 'acme_wrong' has no 'Missing'"),
        ("acme_absent:Nothing", r"cannot import 'acme_absent' .*ModuleNotFoundError.*PYTHONPATH"),
        ("acme_broken:Nothing", r"cannot import 'acme_broken' .*ZeroDivisionError"),
        ("acme_wrong:", r"must be of the form package.module:Class"),
        (":Nothing", r"must be of the form package.module:Class"),
        ("acme wrong:Nothing", r"must be of the form package.module:Class"),
    ],
)
def test_a_reference_that_leads_to_no_trick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, message: str
) -> None:
    package(tmp_path, "acme_wrong")
    package(tmp_path, "acme_broken", "1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        find(reference)
    assert "\n" not in str(caught.value)


def test_entry_point_of_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "acme_installed", entry_points="nothing = acme_installed:Nothing")
    assert "nothing" not in available()
    monkeypatch.syspath_prepend(tmp_path)
    trick = find("nothing")
    assert trick.name == "nothing"
    assert available()["nothing"] is trick
    assert set(available()) == {*NAMES, "nothing"}
    assert key(trick) == "nothing"
    with pytest.raises(UserError, match=r"did you mean nothing\?"):
        find("nothin")


def test_broken_entry_point_is_left_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = (
        "absent = acme_damaged_absent:Nothing\n"
        "misnamed = acme_damaged:Nothing\n"
        "mixup = acme_damaged:Nothing"
    )
    package(tmp_path, "acme_damaged", entry_points=points)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match="left out") as caught:
        assert dict(available()) == dict(builtin())
    texts = sorted(str(warning.message) for warning in caught)
    assert len(texts) == 2
    assert "'absent' of an installed package: cannot import 'acme_damaged_absent'" in texts[0]
    assert (
        "'misnamed' of an installed package: acme_damaged:Nothing calls itself 'nothing'"
        in texts[1]
    )
    with pytest.raises(UserError, match="cannot import 'acme_damaged_absent'"):
        find("absent")
