"""Policy files: written and read back; what is wrong in one is one line with row and value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickbag.data.policies.magnitudes import Operation
from trickbag.data.policies.policies import Step, Table
from trickbag.data.policies.policy_file import PolicyFile, read_table
from trickbag.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

STEPS: st.SearchStrategy[Step] = st.tuples(
    st.sampled_from(get_args(Operation)), st.floats(0, 1), st.integers(0, 9)
)
TABLES = st.lists(st.lists(STEPS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=30)


@given(table=TABLES.map(tuple))
@settings(max_examples=50, deadline=None)
def test_any_table_is_read_back_as_it_was(table: Table) -> None:
    file = PolicyFile(table=table, found_by={"trials": 3})
    assert PolicyFile.from_dict(json.loads(json.dumps(file.to_dict()))) == file


def test_a_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    file = PolicyFile(table=((("rotate", 0.7, 4), ("invert", 1, 0)),))
    file.write(path)
    assert PolicyFile.read(path) == file
    assert read_table(path) == file.table
    # A person may write the table alone, and a whole number as a decimal one.
    path.write_text('{"schema": 1, "table": [[["rotate", 0.7, 4.0], ["invert", 1, 0]]]}')
    assert read_table(path) == file.table


def table(*rows: Any) -> str:
    return json.dumps({"schema": 1, "table": rows})


GOOD = [["rotate", 0.5, 4], ["invert", 0.5, 0]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rotate 0.5 4", "line 1 is damaged"),
        ("[]", "it must be a JSON object"),
        ("[" * 100_000, "too deep"),
        (table(GOOD, [["rotate", [[[[0.5]]]], 4]]), r"row 2, step 1: probability = \[\[\[\["),
        ("{}", r"schema = None: .* policies of schema 1; it has"),
        ('{"schema": 2, "table": []}', "schema = 2: this version of trickbag reads"),
        ('{"schema": 1, "space": "own"}', "space = 'own': this version of trickbag reads"),
        ('{"schema": 1, "tabel": []}', "a policy has no part 'tabel'; found_by, schema"),
        ('{"schema": 1}', "table = None: it must be a list of rows"),
        (table(), "table is empty"),
        (table(GOOD, []), r"row 2 = \[\]: must be a list of 1 to 100 steps"),
        (table(GOOD[0]), "row 1, step 1 = 'rotate': must be"),
        (table(GOOD, [["rotate", 0.5]]), r"row 2, step 1 = \['rotate', 0.5\]: must be"),
        (table([["rotat", 0.5, 4]]), "no operation 'rotat'; did you mean rotate"),
        (table([["ShearX", 0.5, 4]]), "no operation 'ShearX'; did you mean shear_x"),
        (table([["sample_pairing", 0.5, 4]]), "no operation 'sample_pairing'; there are: auto_"),
        (table([[None, 0.5, 4]]), "no operation None"),
        (table(GOOD, GOOD, [GOOD[0], ["invert", 1.5, 0]]), "row 3, step 2: probability = 1.5:"),
        (table([["invert", True, 0]]), "probability = True: must be from 0 to 1"),
        (table([["invert", float("nan"), 0]]), "probability = null, NaN or infinite: must be"),
        (table([["rotate", 0.5, 10]]), "magnitude = 10: must be a whole number from 0 to 9"),
        (table([["rotate", 0.5, -1]]), "magnitude = -1: must be"),
        (table([["rotate", 0.5, 2.5]]), "magnitude = 2.5: must be"),
        (table([["rotate", 0.5, "4"]]), "magnitude = '4': must be"),
        (table([["rotate", 0.5, float("inf")]]), "magnitude = null, NaN or infinite: must be"),
        (f'{{"schema": 1, "table": [{"0, " * 400_000}0]}}', "a policy has at most 1,048,576"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as error:
        PolicyFile.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no policy file .*none\.json"):
        PolicyFile.read(tmp_path / "none.json")
