"""The papers of every trick, as BibTeX and as names in a text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import pytest

from trickbag import tricks
from trickbag.report.citations import (
    HOLM,
    LAN_DEMETS,
    NADEAU_BENGIO,
    TWO_ONE_SIDED,
    bibtex,
    citations,
    of_trick,
)
from trickbag.tricks import Trick

MODULE = __name__


@dataclass(frozen=True, kw_only=True)
class Unknown(Trick):
    """A stranger's trick from a paper that does not ship."""

    name: ClassVar[str] = "unknown"
    paper: ClassVar[str] = "Someone 2031, arXiv 3101.00001; Zhang et al. 2017, arXiv 1710.09412"


@pytest.mark.parametrize("name", tricks.builtin())
def test_every_trick_has_the_papers_that_it_cites(name: str) -> None:
    paper = tricks.find(name).paper
    cited = of_trick(name)
    assert cited
    known = citations()
    assert all(known[each.key] == each for each in cited), "a paper that does not ship"
    numbers = re.findall(r"\d{4}\.\d{4,5}", paper)
    assert [each.arxiv for each in cited if each.arxiv] == list(dict.fromkeys(numbers))
    # As many papers as the citation has parts, each with one of the names that it gives.
    assert len(cited) == len(paper.split("; "))
    for each, part in zip(cited, paper.split("; "), strict=True):
        family = each.text.split()[0]
        assert family in part, (family, part)


def test_the_bibliography_is_whole() -> None:
    entries = citations()
    tests = {HOLM, LAN_DEMETS, NADEAU_BENGIO, TWO_ONE_SIDED}
    assert tests <= entries.keys()
    used = {each.key for name in tricks.builtin() for each in of_trick(name)}
    assert used | tests == entries.keys(), "an entry that none cites"
    for key, each in entries.items():
        assert each.entry.count("{") == each.entry.count("}"), key
        assert re.fullmatch(r"[a-z]+\d{4}[a-z0-9]+", key)
        for field in ("author", "title", "year"):
            assert re.search(rf"(?m)^  {field} = \{{.+\}},?$", each.entry), (key, field)
        assert re.search(r"\d{4}$", each.text)
    assert entries["goyal2017accurate"].text == "Goyal et al. 2017"
    assert entries["loshchilov2016sgdr"].text == "Loshchilov & Hutter 2016"
    assert entries["mueller2021trivialaugment"].text == "Müller & Hutter 2021"
    assert entries["misra2019mish"].text == "Misra 2019"


def test_a_strangers_trick_is_cited_by_number() -> None:
    first, second = of_trick(f"{MODULE}:Unknown")
    assert (first.key, first.text) == ("arxiv310100001", "arXiv 3101.00001")
    assert second == citations()["zhang2017mixup"]
    text = bibtex([second, first, second])
    assert text.count("@misc") == 2
    assert text.index("arxiv310100001") < text.index("zhang2017mixup")
    assert of_trick("no_such_trick") == []
