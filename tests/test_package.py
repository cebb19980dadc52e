"""What the built package holds, and what its page on a package index would show."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

    from markdown_it.token import Token

pytest.importorskip("hatchling", reason="builds the package, with what the extra `dev` installs")

ROOT = Path(__file__).parents[1]
SOURCES = ("src", "tests", "docs", "benchmarks")
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LOG.md", "LICENSE")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build wheel and source distribution of a copy, so that nothing is written here."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    dist = tmp_path_factory.mktemp("dist")
    build = (
        "import sys; from hatchling.build import build_sdist, build_wheel; "
        "build_sdist(sys.argv[1]); build_wheel(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", build, str(dist)], cwd=copy, check=True)
    return dist


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as file:
        yield file


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def test_the_wheel_holds_types_templates_and_cards(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "trickbag/py.typed" in names
    assert "trickbag/report/templates/run.html" in names
    cards = {name for name in names if name.startswith("trickbag/cards/")}
    assert cards == {f"trickbag/cards/{card.name}" for card in ROOT.glob("docs/tricks/*.md")}
    source = (ROOT / "src").glob("trickbag/**/*.py")
    assert {path.relative_to(ROOT / "src").as_posix() for path in source} <= set(names)


def test_the_source_distribution_holds_what_the_page_names(dist: Path, metadata: Message) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"src/trickbag/py.typed", "pyproject.toml", "docs/runs.md", "LICENSE"} <= names
    paths = re.findall(r"\(`([^`]+)`\)", str(metadata.get_payload()))
    assert len(paths) > 10
    for path in paths:
        assert path in names or any(name.startswith(f"{path}/") for name in names), path


def test_every_link_of_the_packages_page_leads_somewhere(metadata: Message) -> None:
    page = metadata.get_payload()
    assert isinstance(page, str)
    assert metadata["Description-Content-Type"] == "text/markdown"
    links = list(targets(MarkdownIt("commonmark").parse(page)))
    assert "https://arxiv.org/abs/1812.01187" in links
    assert all(link.startswith("https://") for link in links), links
    # The text of a link that was taken out stays, with the path of its file.
    assert "[" not in re.sub(r"```.*?```|`[^`]*`|\[[^\]]+\]\(https:", "", page, flags=re.DOTALL)
    assert "method card (`docs/tricks`)" in " ".join(page.split())


def targets(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        for key in ("href", "src"):
            if (target := token.attrGet(key)) is not None:
                yield str(target)
        yield from targets(token.children or [])


def test_metadata_say_who_what_and_where(metadata: Message) -> None:
    assert metadata["Author"] == "trickbag maintainers"
    assert "pytorch" in metadata["Keywords"].split(",")
    addresses = [value.rpartition(", ")[2] for value in metadata.get_all("Project-URL") or ()]
    assert addresses
    assert all(address.startswith("https://") for address in addresses)
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or ())
