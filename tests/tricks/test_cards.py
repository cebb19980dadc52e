"""Every trick has a method card that follows the template, gives the code's defaults, and runs."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trickbag.parsing import parse_fields
from trickbag.tricks import builtin

CARDS = Path(__file__).parents[2] / "docs" / "tricks"
HEADINGS = [
    "What",
    "When to use",
    "Settings",
    "Formula",
    "Cost",
    "Source",
    "Published effect",
    "Measured effect",
    "In your own loop",
]
TRICKS = list(builtin())


def sections(name: str) -> dict[str, str]:
    """Return the text under each second-level heading of a card, in its order."""
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    _, *parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))


def snippet(name: str) -> str:
    section = sections(name)["In your own loop"]
    block = re.fullmatch(r"```python\n(.+?)```", section, flags=re.DOTALL)
    assert block, f"'In your own loop' of docs/tricks/{name}.md must be one python block"
    return block[1]


def test_every_trick_has_a_card_and_every_card_a_trick() -> None:
    assert sorted(path.stem for path in CARDS.glob("*.md")) == TRICKS


@pytest.mark.parametrize("name", TRICKS)
def test_card_follows_the_template(name: str) -> None:
    card = sections(name)
    assert (CARDS / f"{name}.md").read_text(encoding="utf-8").startswith(f"# {name}\n")
    headings = "".join(f"\n## {heading}" for heading in HEADINGS)
    assert list(card) == HEADINGS, f"the headings of docs/tricks/{name}.md must be:{headings}"
    assert all(card.values()), f"a section of docs/tricks/{name}.md is empty"


@pytest.mark.parametrize("name", TRICKS)
def test_card_names_the_sources_of_the_code(name: str) -> None:
    cited = re.findall(r"\d{4}\.\d{5}", builtin()[name].paper)
    assert cited, f"`paper` of {name} names an arXiv number"
    assert [number for number in cited if number not in sections(name)["Source"]] == []


@pytest.mark.parametrize("name", TRICKS)
def test_card_gives_the_defaults_of_the_code(name: str) -> None:
    trick = builtin()[name]
    defaults = {field.name: field.default for field in dataclasses.fields(trick)}
    table = sections(name)["Settings"]
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| .+ \|$", table, flags=re.MULTILINE)
    assert rows or table == "None."
    given = {
        key: value
        for row in rows
        for key, value in parse_fields(trick, "=".join(row), name).items()
    }
    assert given == defaults


@pytest.mark.parametrize("name", TRICKS)
def test_no_text_of_the_template_is_left(name: str) -> None:
    # What `trickbag new trick` writes has TODO where the author fills in.
    source = sys.modules[builtin()[name].__module__].__file__ or ""
    for path in (CARDS / f"{name}.md", Path(source)):
        assert "TODO" not in path.read_text(encoding="utf-8"), f"fill in every TODO of {path}"


@pytest.mark.parametrize("name", TRICKS)
def test_snippet_is_short_and_uses_the_package(name: str) -> None:
    code = snippet(name)
    assert "trickbag." in code
    assert len([line for line in code.splitlines() if line.strip()]) <= 12


def test_snippets_run(tmp_path: Path) -> None:
    script = tmp_path / "snippets.py"
    # One process for all, because importing torch takes seconds. Each is a function, so that it
    # sees only its own names.
    blocks = ["import warnings", "warnings.simplefilter('error')"]
    for name in TRICKS:
        body = "\n".join(f"    {line}" for line in snippet(name).splitlines())
        blocks += [f"def {name}():\n{body}", f"{name}()", f"print('ran', '{name}')"]
    script.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^ran (\w+)$", done.stdout, flags=re.MULTILINE) == TRICKS
