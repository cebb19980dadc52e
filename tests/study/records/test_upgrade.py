"""Files that a study wrote before notes and statuses were values."""

from __future__ import annotations

from typing import Any

import pytest

from trickbag.errors import Note, UserError
from trickbag.study.analysis.notes import EffectNote
from trickbag.study.records.effect import effect_from_dict, effect_to_dict
from trickbag.study.records.result import StoredResult
from trickbag.study.records.study import StudyRecord

LINE: dict[str, Any] = {
    "trial": "0a",
    "label": "full",
    "seed": 0,
    "metrics": {"top1": 90.0},
    "warnings": ["mixup has no effect: alpha = 0", "the stem is deep_s1"],
    "environment": {},
    "data_errors": [],
    "error": None,
    "model": "resnet18",
}
STUDY: dict[str, Any] = {"schema": 1, "recipe": {}, "design": {"kind": "factorial"}, "layouts": []}


def effect(note: str | None, delta: float | None = 1.51, pairs: int = 5) -> dict[str, Any]:
    return {
        "label": "mixup",
        "model": "resnet18",
        "delta": delta,
        "pairs": pairs,
        "verdict": "undetermined",
        "note": note,
    }


def test_warnings_become_notes() -> None:
    result = StoredResult.from_dict(LINE)
    assert [Note.from_dict(note) for note in result.notes] == [
        Note("no_effect", "mixup", "alpha = 0"),
        Note("choice", None, "the stem is deep_s1"),
    ]
    assert result.status == "finished"
    assert result.to_dict() | LINE == result.to_dict()
    assert StoredResult.from_dict(result.to_dict()) == result


def test_an_error_that_a_trick_does_not_apply_becomes_a_status() -> None:
    result = StoredResult.from_dict(LINE | {"error": "does not apply: no slot. Use a ResNet"})
    assert (result.status, result.error) == ("does_not_apply", "no slot. Use a ResNet")
    failed = StoredResult.from_dict(LINE | {"error": "the loss is not finite"})
    assert (failed.status, failed.error) == ("failed", "the loss is not finite")


@pytest.mark.parametrize(
    ("data", "status", "notes"),
    [
        (effect(None), "measured", []),
        (
            effect("no effect: alpha = 0; one pair: an interval needs at least two", 0.0, 1),
            "no_effect",
            [
                EffectNote(
                    kind="no_effect",
                    reason="alpha = 0; one pair: an interval needs at least two",
                )
            ],
        ),
        (
            effect("no effect in 1 of 2 variants: alpha = 0"),
            "partly_no_effect",
            [EffectNote(kind="partly_no_effect", reason="alpha = 0", variants=(1, 2))],
        ),
        (
            effect("does not apply: no slot", None, 0),
            "does_not_apply",
            [EffectNote(kind="does_not_apply", reason="no slot")],
        ),
        (
            effect("no finished trial of full", None, 0),
            "no_pairs",
            [EffectNote(kind="no_pairs", reason="no finished trial of full")],
        ),
        (
            effect("no spread: every pair differs by the same amount"),
            "measured",
            [
                EffectNote(
                    kind="no_interval", reason="no spread: every pair differs by the same amount"
                )
            ],
        ),
    ],
)
def test_the_note_of_an_effect_becomes_its_status(
    data: dict[str, Any], status: str, notes: list[EffectNote]
) -> None:
    read = effect_from_dict(data, "effects.json")
    assert (read.status, list(read.notes), read.note) == (status, notes, data["note"])
    assert effect_from_dict(effect_to_dict(read), "effects.json") == read


def test_reasons_lose_the_way_out_of_a_single_run() -> None:
    unfit = {"resnet_d": "no slots. Use a ResNet", "adam": "two optimizers; take one out: sgd"}
    notes = ["mixup: the paper trains 200 epochs with it, 120 without"]
    variants = [{"label": "full", "reason": ""}, {"label": "-resnet_d", "reason": "no slots"}]
    layouts = [{"model": "vgg11", "variants": variants}]
    data = STUDY | {"inapplicable": {"vgg11": unfit}, "notes": notes, "layouts": layouts}
    record = StudyRecord.from_dict(data, "study.json")
    assert record.inapplicable == {"vgg11": {"resnet_d": "no slots", "adam": "two optimizers"}}
    assert [note.text for note in record.notes] == notes
    assert [v.status for v in record.layouts[0].variants] == ["applies", "does_not_apply"]
    assert StudyRecord.from_dict(record.to_dict(), "study.json") == record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema = 2: this version of trickbag reads studies of schema 1"),
        ({"recipe": 3}, "recipe = 3: must be a JSON object"),
        ({"seeds": "5"}, "seeds = '5': must be a whole number"),
        ({"seeds": 1e308}, r"seeds = 1e\+308: must be a whole number"),
        ({"seeds": 10**12}, r"study\.json: seeds = 10{12}: must be at least 1, at most 10,000"),
        ({"threads": 10**6}, "threads = 1000000: must be at least 1, at most 4,096"),
        ({"processes": 10**6}, "processes = 1000000: must be at least 1, at most 4,096"),
        (
            {"layouts": [{"model": "m", "factors": list("abcdefghijklm")}]},
            r"layouts\[0\].factors = .*: must be at most 12 names",
        ),
        ({"device": "tpu"}, "device = 'tpu': must be auto, cpu, cuda, mps or null"),
        ({"note_values": [{"kind": "x"}]}, r"note_values\[0\]: .* is not a note"),
        (
            {"layouts": [{"model": "m", "variants": [{"label": "a", "status": "maybe"}]}]},
            r"layouts\[0\].variants\[0\].status = 'maybe': must be applies or does_not_apply",
        ),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        StudyRecord.from_dict(STUDY | changes, "study.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 3}, "schema = 3: this version of trickbag reads results of schema 1 to 2"),
        ({"metrics": {"top1": "high"}}, "metrics: top1 = 'high': must be a number or null"),
        ({"model": None}, "model = None: must be a text"),
        ({"status": "gone"}, "status = 'gone'"),
    ],
)
def test_a_wrong_value_of_a_result_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        StoredResult.from_dict(LINE | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "good"}, "status = 'good': must be one of"),
        ({"verdict": "good"}, "verdict = 'good'"),
        ({"status": "measured", "notes": [{"kind": "x"}]}, "is not a note on an effect"),
        ({"status": "measured", "notes": [3]}, "3 is not a note on an effect"),
    ],
)
def test_a_wrong_value_of_an_effect_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        effect_from_dict(effect(None) | changes, "effects.json: effect 1")
