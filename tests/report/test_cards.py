from __future__ import annotations

import pytest

from trickbag.report.cards import card_html, card_text


def test_the_card_of_a_trick() -> None:
    text = card_text("mixup")
    assert text is not None
    assert text.startswith("# mixup")
    assert "<h5>Formula</h5>" in card_html(text)
    assert '<div class="scroll"><table>' in card_html(text)


@pytest.mark.parametrize(
    "name", ["no_such_trick", "../README", "package.module:Class", "", "Mixup", "mixup.md"]
)
def test_what_has_no_card(name: str) -> None:
    assert card_text(name) is None


def test_a_card_loads_nothing_and_runs_nothing() -> None:
    html = card_html(
        "# a\n\n<script>x</script> <img "
        "src=http://example.org/a.png>\n\n![alt](http://example.org/b.png)\n\n"
        "[other](../tricks/other.md) [paper](https://arxiv.org/abs/1812.01187) "
        "[bad](javascript:alert(1))"
    )
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("<a ") == html.count("</a>")
    assert '<a href="https://arxiv.org/abs/1812.01187">paper</a>' in html
    assert "other" in html
    assert "../tricks" not in html
    assert 'href="javascript' not in html
    assert "<h4>a</h4>" in html
