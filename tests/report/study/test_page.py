from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.report.html_page import Page
from tests.report.run_folder import write_json
from tests.report.study_folder import ENVIRONMENT, trial_id, write_study
from trickbag import tricks
from trickbag.errors import UserError
from trickbag.report import is_study, study_page
from trickbag.report.format import TIMES, around, signed
from trickbag.report.study.published import CHAINS
from trickbag.study.designs.layout import ALL

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS = ["effects", "price", "papers", "curves", "trials", "methods", "recipes", "environment"]
FOUR = ("mixup", "label_smoothing", "resnet_d", "cosine_decay")
HOSTILE = "</svg><script>alert(1)</script>{{ 7 * 7 }} \"'&amp;"


def page_of(folder: Path, sections: list[str] | None = None) -> Page:
    page = Page(study_page(folder))
    page.check()
    assert [values["id"] for values in page.all("section")] == (sections or SECTIONS)
    return page


def effects_in(folder: Path) -> dict[str, dict[str, Any]]:
    return {effect["label"]: effect for effect in json.loads((folder / "effects.json").read_text())}


@pytest.fixture(scope="module")
def leave_one_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("studies") / "small-1")


def test_leave_one_out(leave_one_out: Path) -> None:
    page = page_of(leave_one_out)
    head = page.words("")
    effects = effects_in(leave_one_out)
    assert {e["verdict"] for e in effects.values()} == {"helps", "hurts", "undetermined"}
    half = (effects["mixup"]["high"] - effects["mixup"]["low"]) / 2
    assert (
        f"On this data, mixup helps by {effects['mixup']['delta']:.1f}\u00a0±\u00a0{half:.1f} "
        f"points of top-1" in (page.source)
    )
    assert "(5 seeds)" in head
    assert "warmup hurts by" in head
    assert "finished: all 50 trials" in head
    for fact in (
        "design leave-one-out",
        "recipe small, 9 tricks",
        "data digits",
        "network resnet18_d",
        "epochs 8",
    ):
        assert fact in head
    words = page.words("effects")
    for label, effect in effects.items():
        delta = signed("top1", effect["delta"])
        assert (
            f"{effect['verdict']} {delta} {signed('top1', effect['low'])} to"
            in words.partition(f"{label} ")[2]
        )
    assert "not adjusted for there being many" in words
    drawings = [values["aria-label"] for values in page.all("svg")]
    assert drawings[0] == "Effects of 9 tricks on top-1 with 95 % intervals"
    assert drawings[1].startswith("top-1 against training throughput of 10 variants")
    assert drawings[2].startswith("top-1 against multiply-adds")
    assert len(drawings) == 3 + 10
    assert "mean of 5 seeds" in drawings[3]
    assert "The same for every variant: parameters 11.2 M" in page.words("price")
    assert page.words("price").count("±") == 11
    costs = page.words("price").partition("What a trick costs")[2]
    assert f"resnet_d {TIMES}0.91" in costs
    assert f"{TIMES}1.06 +2.24 M" in costs
    assert "mixup: the paper trains 200 epochs with it" in page.words("trials")
    assert "the batch is 256 all runs" in page.words("trials")
    assert (
        "trickbag study small --design leave-one-out --seeds 5 trickbag report small-1"
        in page.words("recipes")
    )
    assert "-mixup tricks.mixup off" in page.words("recipes")
    assert all(trial_id("resnet18_d", "-mixup", seed) in page.words("recipes") for seed in range(5))
    assert "different environments" not in page.words("environment")
    assert "python 3.11.9" in page.words("environment")


def test_the_same_study_gives_the_same_bytes(leave_one_out: Path, tmp_path: Path) -> None:
    first, second = (
        study_page(leave_one_out, tmp_path / name).read_bytes() for name in ("a.html", "b.html")
    )
    assert first == second
    assert len(first) < 400_000


def test_what_the_papers_report_stands_beside(leave_one_out: Path) -> None:
    words = page_of(leave_one_out).words("papers")
    assert "What the papers report for these tricks" in words
    assert "as remembered from the paper, unchecked" in words
    row = words.partition("label_smoothing")[2].partition("mixup")[0]
    assert "78.31 † +0.40 †" in row.replace("†", " †").replace("  ", " ")
    assert "78.35 +0.98" in row


def test_cumulative(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", design="cumulative", seeds=8)
    page = page_of(folder)
    words = page.words("papers")
    assert words.startswith("Step by step, beside the papers")
    results = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    for label in ("bare", "+warmup"):
        values = [row["metrics"]["top1"] for row in results if row["label"] == label]
        assert (
            f"{label.replace('+', '+ ')} {around('top1', values)}".replace("\u00a0", " ") in words
        )
    delta = effects_in(folder)["cosine_decay"]["delta"]
    assert f"{signed('top1', delta)}" in words.partition("+ cosine_decay")[2]
    assert "77.91" in words.partition("+ cosine_decay")[2]
    assert "75.87" in words.partition("+ linear_scaling")[0]
    assert f"{signed('top1', effects_in(folder)['all']['delta'])}" in words.partition(" all ")[2]
    assert "79.29f +3.99 82.78g +5.91" in words
    assert "bootstrap" in page.words("effects")
    assert "the step before" in page.words("curves")


def test_factorial(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", design="factorial", tricks=FOUR, seeds=3)
    sections = [*SECTIONS[:3], "factorial", *SECTIONS[3:]]
    page = page_of(folder, sections)
    effects = effects_in(folder)
    words = page.words("factorial")
    assert signed("top1", effects["mixup*resnet_d"]["delta"]) in words
    assert f"together {signed('top1', sum(effects[name]['delta'] for name in FOUR))}" in words
    assert f"mixup {TIMES} resnet_d" in page.words("effects")
    assert (
        "a mixup, b label_smoothing, c resnet_d, d cosine_decay; (1) has none of them"
        in page.words("price")
    )
    assert "Generator" not in words
    plan = json.loads((folder / "study.json").read_text())
    plan["layouts"][0] |= {
        "generators": ["cosine_decay = mixup*label_smoothing*resnet_d"],
        "aliases": [["mixup*label_smoothing", "resnet_d*cosine_decay"]],
    }
    write_json(folder / "study.json", plan)
    words = page_of(folder, sections).words("factorial")
    assert f"Generator: cosine_decay = mixup {TIMES} label_smoothing {TIMES} resnet_d" in words
    assert f"mixup {TIMES} label_smoothing = resnet_d {TIMES} cosine_decay" in words


def test_two_networks(tmp_path: Path) -> None:
    models = ("resnet18_d", "timm:mobilenetv3_small_100")
    reason = "resnet_d needs a stem of convolutions"
    folder = write_study(
        tmp_path / "study",
        design="one-at-a-time",
        models=models,
        seeds=3,
        reasons={"+resnet_d": reason},
        environment=lambda label, seed: (
            ENVIRONMENT | {"cpu": "another"} if seed == 1 else ENVIRONMENT
        ),
    )
    page = page_of(folder)
    head = page.words("")
    assert all(f"On this data with {model}, " in head for model in models)
    assert head.count("ResNet-D does not apply") == 2
    assert page.words("effects").count(reason) == 2
    assert page.words("trials").count(reason) == 2
    assert f"+resnet_d {models[1]} {reason}" in page.words("trials")
    assert "ran in 2 different environments" in page.words("environment")
    assert "cpu a processor another" in page.words("environment")
    assert "model.kind" in page.words("recipes")
    assert sum(values["aria-label"].startswith("Effects of 9") for values in page.all("svg")) == 2


def test_a_trick_without_effect_in_a_part_of_a_factorial_keeps_its_verdict(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", design="factorial", tricks=FOUR[:2], seeds=2, epochs=1)
    effects = json.loads((folder / "effects.json").read_text())
    effects[0] |= {
        "note": "no effect in 1 of 2 variants: the batch is 256",
        "verdict": "undetermined",
        "delta": 1.51,
    }
    # As it was written before effects had a status.
    del effects[0]["status"], effects[0]["notes"]
    write_json(folder / "effects.json", effects)
    page = page_of(folder, [*SECTIONS[:3], "factorial", *SECTIONS[3:]])
    assert "mixup ○ undetermined, partly no effect +1.51" in page.words("effects")
    assert "no effect in 1 of 2 variants: the batch is 256" in page.words("effects")
    assert "mixup changes nothing here" not in page.words("")
    assert "mixup" in page.words("")


def test_an_unfinished_study(tmp_path: Path) -> None:
    error = "the loss is not finite at step 12"
    folder = write_study(
        tmp_path / "study",
        finished=lambda label, seed: seed == 0 or (seed == 1 and label in ("full", "-mixup")),
        errors={("-warmup", 0): (error, error), ("-mixup", 1): (error, None)},
    )
    lines = (folder / "results.jsonl").read_text()
    (folder / "results.jsonl").write_text(lines + '{"trial": "torn')
    page = page_of(folder)
    head = page.words("")
    assert "So far, on this data, no trick is shown to help (at most 2 seeds)" in head
    assert "11 of 50 trials finished, 1 failed, 38 to be run" in head
    assert "was torn by a crash" in head
    assert "warmup — no pair yet — — — — 0" in page.words("effects")
    assert f"Failed trials variant seeds error -warmup 0 {error}" in page.words("trials")
    assert f"Failed once, then finished variant seeds error -mixup 1 {error}" in page.words(
        "trials"
    )


def test_a_trick_found_not_to_apply_while_running(tmp_path: Path) -> None:
    error = "does not apply: squeeze_excite needs an attention slot"
    folder = write_study(
        tmp_path / "study",
        seeds=2,
        errors={("-mixup", 0): (error,), ("-mixup", 1): ()},
        effects=False,
    )
    page = page_of(folder, [name for name in SECTIONS if name != "papers"])
    assert "finished: all 18 trials" in page.words(
        ""
    )  # the variant's other seeds are not waited for
    assert "Does not apply variant why -mixup squeeze_excite needs an attention slot" in page.words(
        "trials"
    )
    assert "No trial failed for good" in page.words("trials")


@pytest.mark.parametrize("missing", ["results.jsonl", "trials"])
def test_a_study_that_has_just_begun(tmp_path: Path, missing: str) -> None:
    folder = write_study(
        tmp_path / "study",
        seeds=1,
        finished=lambda label, seed: False,
        effects=False,
        folders=missing != "trials",
    )
    if missing == "results.jsonl":
        (folder / missing).unlink()
    page = page_of(folder, [name for name in SECTIONS if name != "papers"])
    assert "No effect can be told yet: 0 of 10 trials are finished." in page.words("")
    assert "No trial has finished yet" in page.words("price")
    assert ("not in this folder" in page.words("recipes")) is (missing == "trials")


def test_a_merged_study_has_no_trials_folders(tmp_path: Path) -> None:
    page = page_of(write_study(tmp_path / "study", seeds=2, folders=False))
    assert "The folders of the trials are not here" in page.words("curves")
    assert len(page.all("svg")) == 3


@pytest.mark.parametrize("outcome", ["loss", "train_throughput"])
def test_another_outcome(tmp_path: Path, outcome: str) -> None:
    folder = write_study(tmp_path / "study", seeds=3, outcome=outcome)
    page = page_of(folder)
    unit = {"loss": "nats of loss", "train_throughput": "images/s of training throughput"}[outcome]
    assert unit in page.words("")
    assert page.all("svg")[1]["aria-label"].startswith("top-1 against")


def test_hostile_texts_are_text(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "study", seeds=2, changes={"command": HOSTILE, "notes": [HOSTILE]}
    )
    for name in ("study.json", "results.jsonl", "effects.json"):
        text = (folder / name).read_text()
        spoilt = json.dumps(HOSTILE)[1:-1]
        (folder / name).write_text(
            text.replace("-mixup", f"-{spoilt}").replace('"mixup"', f'"{spoilt}"')
        )
    page = page_of(folder)
    assert "<script" not in page.source
    assert "49" not in page.words("recipes").partition("trickbag report")[0]
    for section in ("effects", "price", "trials", "recipes", "curves"):
        assert HOSTILE in page.words(section)


def test_a_study_of_many_variants(tmp_path: Path) -> None:
    names = (*FOUR, "warmup", "no_bias_decay")
    folder = write_study(
        tmp_path / "study", design="factorial", tricks=names, seeds=2, epochs=2, folders=True
    )
    page = page_of(folder, [*SECTIONS[:3], "factorial", *SECTIONS[3:]])
    assert "40 more variants are not drawn" in page.words("curves")
    assert page.words("price").count("±") == 64 + 1
    assert len(page.source) < 1_500_000


def test_published_tables_hang_together() -> None:
    for chain in CHAINS:
        reached = {step.top1 for step in chain.steps} | {82.10}  # of a row that only trains longer
        assert chain.baseline.base is None
        assert not chain.baseline.trick
        assert all(step.base in reached for step in chain.steps[1:] if step.trick != ALL)
        assert len({(step.trick, step.after) for step in chain.steps}) == len(chain.steps)
    he, lee = CHAINS[0], CHAINS[3]
    smoothing, scale = he.step("label_smoothing"), lee.step("auto_augment")
    assert smoothing is not None
    assert smoothing.delta == pytest.approx(0.40)
    assert scale is not None
    assert scale.delta == pytest.approx(0.09)
    # Distillation was added to label smoothing, and to mixup on top of it.
    for before, gain in {(): 0.36, ("cosine_decay", "mixup"): 0.14}.items():
        step = he.step("distillation", before)
        assert step is not None
        assert step.delta == pytest.approx(gain)
    claims = [claim.delta for chain in (he, lee) if (claim := chain.step(ALL))]
    assert claims == pytest.approx([3.99, 5.91])
    names = {step.trick for chain in CHAINS for step in chain.steps[1:]} - {ALL}
    assert names <= set(tricks.builtin())


WRONG = [
    ("study.json", '{"schema": 1,\n "layouts": }', "line 2"),
    ("study.json", "[1]", "must be a JSON object"),
    ("study.json", '{"schema": 9}', "schema = 9"),
    ("study.json", '{"schema": 1, "recipe": 3}', "recipe = 3"),
    ("study.json", '{"schema": 1, "recipe": {}, "design": {}}', "design.kind"),
    (
        "study.json",
        '{"schema": 1, "recipe": {}, "design": {"kind": "x"}, "layouts": [3]}',
        "layouts[0] = 3",
    ),
    (
        "study.json",
        '{"schema": 1, "recipe": {}, "design": {"kind": "x"}, "layouts": [{"model": "m", '
        '"variants": [{"label": "full", "trials": {"0": "../../x"}}]}]}',
        "variants[0].trials",
    ),
    ("effects.json", "{}", "must be a list"),
    ("effects.json", "[{", "line 1"),
    ("effects.json", "[" * 100_000, "damaged"),
    ("effects.json", '[{"label": "a", "model": "m", "verdict": "good"}]', "verdict = 'good'"),
    (
        "effects.json",
        '[{"label": "a", "model": "m", "verdict": "helps", "delta": "1"}]',
        "delta = '1'",
    ),
    (
        "effects.json",
        '[{"label": "a", "model": "m", "verdict": "helps", "bootstrap": [1]}]',
        "bootstrap",
    ),
    (
        "effects.json",
        '[{"label": "a", "model": "m", "verdict": "helps", "cost": {"macs": 1}}]',
        "cost.macs = 1",
    ),
    ("results.jsonl", '{"trial": 1\n{"trial": 2}\n{}\n', "line 1"),
]


@pytest.mark.parametrize(("name", "text", "message"), WRONG)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    folder = write_study(tmp_path / "study", seeds=1, epochs=1)
    (folder / name).write_text(text)
    with pytest.raises(UserError) as error:
        study_page(folder)
    assert str(folder / name) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (folder / "report.html").exists()


def test_a_damaged_metric_is_named(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", seeds=1, epochs=1)
    text = (folder / "results.jsonl").read_text()
    (folder / "results.jsonl").write_text(text.replace('"top5": ', '"top5": "high", "top6": ', 1))
    with pytest.raises(UserError, match="metrics: top5 = 'high'"):
        study_page(folder)


def test_what_is_no_study(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert not is_study(tmp_path / "empty")
    with pytest.raises(UserError, match=r"is no study: it holds no study\.json"):
        study_page(tmp_path / "empty")
    with pytest.raises(UserError, match="no folder"):
        study_page(tmp_path / "absent")


def test_neither_import_nor_page_needs_torch(leave_one_out: Path, tmp_path: Path) -> None:
    assert is_study(leave_one_out)
    code = (
        "import sys; from pathlib import Path; from trickbag.report import study_page\n"
        "heavy = {'torch', 'matplotlib', 'jinja2', 'sklearn', 'scipy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        f"study_page(Path({str(leave_one_out)!r}), Path({str(tmp_path / 'page.html')!r}))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert (tmp_path / "page.html").exists()
