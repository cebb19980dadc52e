from __future__ import annotations

import pytest

from tests.builders.annotations import voc_object, voc_xml
from trickbag.data.annotations.boxes.voc_xml import parse_annotation

CAT = voc_object("cat", (2, 3, 12, 13))


def test_parts_of_objects_are_no_objects() -> None:
    head = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    objects, name, size = parse_annotation(
        voc_xml([CAT.replace("</object>", f"{head}</object>")], filename=" a b.jpg ").encode()
    )
    assert objects == [("cat", (2.0, 3.0, 12.0, 13.0), False)]
    assert (name, size) == ("a b.jpg", None)


@pytest.mark.parametrize(
    ("text", "difficult"), [("1", True), ("0", False), ("", False), ("yes", False), ("1.0", True)]
)
def test_difficult_objects(text: str, difficult: bool) -> None:
    item = CAT.replace("<bndbox>", f"<difficult>{text}</difficult><bndbox>")
    ((_, _, marked),) = parse_annotation(voc_xml([item]).encode())[0]
    assert marked == difficult
