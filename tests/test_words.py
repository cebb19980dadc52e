"""Words that must not return: names in the code, read by ast, and words in the prose."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("src", "tests", "benchmarks")

# Names that say nothing of what they hold, and words that were coined where the field has its own.
FORBIDDEN_NAMES = {
    *("found", "said", "made", "own", "one", "theirs", "mine", "told", "asked", "several"),
    *("lesson", "lessons", "pupil", "asking", "workshop", "agenda", "moment", "moments", "reads"),
    *("whole", "from_first", "in_turn", "collect", "copy_first", "add_gradients"),
    *("ask_once", "lesson_notes", "pupil_of", "write_answers"),
    *("Answers", "Lesson", "Pupil", "Asking", "Workshop", "Agenda", "Told", "Moment", "Job"),
}
# In prose "one", "own" and "whole" are English: only what was coined is left out.
FORBIDDEN_IN_PROSE = re.compile(r"\b(pupils?|lessons?|workshops?|agendas?)\b", re.I)
COLUMNS = 100


def python_files() -> list[Path]:
    return sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))


def documents() -> list[Path]:
    # The logs tell what things were called at their time.
    history = {"CHANGELOG.md", "LOG.md"}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in pages if path.name not in history)


def defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of all that a file names: variables, parameters, functions, classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs) and node.name:
            yield node.lineno, node.name


def prose_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of docstrings, other strings and comments."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            yield token.start[0], token.string


def forbidden_names(source: str) -> list[tuple[int, str]]:
    return [
        (line, name)
        for line, name in defined_names(ast.parse(source))
        if name.lstrip("_") in FORBIDDEN_NAMES
    ]


@pytest.mark.parametrize("folder", CODE)
def test_no_name_of_the_list_returns(folder: str) -> None:
    violations = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in python_files()
        if path.is_relative_to(ROOT / folder)
        for line, name in forbidden_names(path.read_text(encoding="utf-8"))
    ]
    assert not violations, "\n".join(["rename these after what they hold:", *violations])


def test_no_coined_word_returns_in_prose() -> None:
    violations = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}"
        for path in python_files()
        if path != Path(__file__)
        for line, text in prose_of(path.read_text(encoding="utf-8"))
        for match in FORBIDDEN_IN_PROSE.finditer(text)
    ]
    violations += [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in documents()
        for match in FORBIDDEN_IN_PROSE.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not violations, "\n".join(["write these with the field's words:", *violations])


def test_class_names_are_unique_in_the_package() -> None:
    homes: dict[str, list[str]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert not {name: paths for name, paths in homes.items() if len(paths) > 1}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("found = 1", ["found"]),
        ("def f(one, *several, told=2): pass", ["one", "several", "told"]),
        ("class Job:\n    def whole(self): self._said = 1", ["Job", "whole", "_said"]),
        ("for made in x: pass\nwith y as mine: pass", ["made", "mine"]),
        ("import a as own\ntry: pass\nexcept E as theirs: pass", ["own", "theirs"]),
        ("[asked for asked in x]\n(reads := 1)", ["asked", "reads"]),
        ("foundation = made_of(one)\nx.found", []),
    ],
)
def test_names_are_seen_wherever_they_are_given(source: str, names: list[str]) -> None:
    assert sorted(name for _, name in forbidden_names(source)) == sorted(names)


def test_prose_is_read_in_code_and_comments() -> None:
    source = '"""A lesson."""\nx = f"the pupil"  # an agenda\n'
    texts = [text for _, text in prose_of(source)]
    assert [bool(FORBIDDEN_IN_PROSE.search(text)) for text in texts] == [True, True, True]


def test_no_line_is_longer_than_the_columns() -> None:
    # ruff lets lines pass that end in a directive such as `type: ignore`.
    violations = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > COLUMNS
    ]
    assert not violations, "\n".join(violations)
