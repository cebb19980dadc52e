"""The papers of tricks and of tests, as BibTeX and as names in a text."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

from trickbag import tricks
from trickbag.errors import UserError

__all__ = [
    "HOLM",
    "LAN_DEMETS",
    "NADEAU_BENGIO",
    "TWO_ONE_SIDED",
    "Citation",
    "bibtex",
    "citations",
    "of_trick",
]

HOLM = "holm1979simple"
LAN_DEMETS = "lan1983discrete"
NADEAU_BENGIO = "nadeau2003inference"
TWO_ONE_SIDED = "schuirmann1987comparison"

_WITHOUT_NUMBER = MappingProxyType({"Krizhevsky et al. 2012": "krizhevsky2012imagenet"})
"""Papers without a number of arXiv, by the words with which tricks cite them."""

_ARXIV = re.compile(r"arXiv\s+(\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Citation:
    """An entry of a bibliography: its key, its names and year in a text, its number, its BibTeX."""

    key: str
    text: str
    arxiv: str
    entry: str


@functools.cache
def citations() -> Mapping[str, Citation]:
    """Return the entries that ship, by key."""
    file = resources.files("trickbag") / "report" / "papers.bib"
    entries = re.split(r"(?m)^(?=@)", file.read_text(encoding="utf-8"))
    known = [_citation(entry.strip() + "\n") for entry in entries if entry.strip()]
    return MappingProxyType({each.key: each for each in known})


def of_trick(name: str) -> list[Citation]:
    """Return the papers of a trick, by its name, in the order in which it cites them.

    A paper of a stranger's trick that does not ship has an entry of its number alone. There are
    none of a name that is no trick's here, and of a trick that cites no paper.
    """
    try:
        trick = tricks.find(name)
    except UserError:
        return []
    by_number = {each.arxiv: each for each in citations().values() if each.arxiv}
    cited = {
        match.start(): by_number.get(match[1]) or _of_number(match[1])
        for match in _ARXIV.finditer(trick.paper)
    }
    for words, key in _WITHOUT_NUMBER.items():
        if words in trick.paper:
            cited[trick.paper.index(words)] = citations()[key]
    return [each for _, each in sorted(cited.items())]


def bibtex(cited: Iterable[Citation]) -> str:
    """Write a bibliography, each entry once, in the order of the keys."""
    entries = {each.key: each.entry for each in cited}
    return "\n".join(entries[key] for key in sorted(entries))


def _citation(entry: str) -> Citation:
    key = re.match(r"@\w+\{([^,]+),", entry)
    assert key is not None
    authors = _field(entry, "author").split(" and ")
    families = [_plain(author.partition(",")[0]) for author in authors]
    names = f"{families[0]} et al." if len(families) > 2 else " & ".join(families)
    return Citation(key[1], f"{names} {_field(entry, 'year')}", _field(entry, "eprint"), entry)


def _of_number(arxiv: str) -> Citation:
    key = f"arxiv{arxiv.replace('.', '')}"
    entry = (
        f"@misc{{{key},\n  title = {{{{arXiv {arxiv}}}}},\n  eprint = {{{arxiv}}},\n"
        "  archivePrefix = {arXiv}\n}\n"
    )
    return Citation(key, f"arXiv {arxiv}", arxiv, entry)


def _field(entry: str, name: str) -> str:
    match = re.search(rf"(?m)^  {name} = \{{(.*)\}},?$", entry)
    return "" if match is None else match[1]


_ACCENTS = MappingProxyType({r"{\'a}": "á", r"{\'e}": "é", r"{\"u}": "ü"})


def _plain(name: str) -> str:
    """Return a name without the marks of LaTeX."""
    for mark, letter in _ACCENTS.items():
        name = name.replace(mark, letter)
    return name
