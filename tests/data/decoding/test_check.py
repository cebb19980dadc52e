from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.builders.images import encode, exif, photo, photo_folder, with_exif
from trickbag.data.config import DataConfig
from trickbag.data.decoding import check as module
from trickbag.data.decoding.cache import CheckCache, Checked, cache_folder
from trickbag.data.decoding.check import Check, check_parts, diagnose
from trickbag.data.sources import open_source


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return photo_folder(tmp_path / "set", {"a": 40, "b": 40})


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that the check decodes, as it goes on."""
    paths: list[str] = []
    real = module._check_file

    def noted(path: str) -> Checked:
        paths.append(path)
        return real(path)

    monkeypatch.setattr(module, "_check_file", noted)
    return paths


def checked(tree: Path, cache: Path) -> Check:
    return check_parts(open_source(DataConfig(source=str(tree))).parts, None, cache)


def test_findings_stand_in_the_order_of_the_part(tree: Path, tmp_path: Path) -> None:
    (tree / "a" / "007.png").write_bytes(b"")
    (tree / "b" / "001.png").write_bytes(with_exif(encode(photo(30, 20), "JPEG"), exif(6)))
    found = checked(tree, tmp_path / "cache").found["train"]
    assert len(found) == 80
    assert found[7] == ("empty file", "", 0, 0)
    assert found[41] == (None, "JPEG", 20, 30)  # upright
    assert found[2] == (None, "PNG", 22, 16)


def test_an_unchanged_file_is_decoded_once(tree: Path, tmp_path: Path, decoded: list[str]) -> None:
    first = checked(tree, tmp_path / "cache")
    assert len(decoded) == 80
    assert checked(tree, tmp_path / "cache").found == first.found
    assert len(decoded) == 80
    changed = tree / "b" / "003.png"
    changed.write_bytes(b"damaged")
    touched = tree / "a" / "000.png"
    os.utime(touched, ns=(1, 1))
    assert checked(tree, tmp_path / "cache").found["train"][43].reason is not None
    assert sorted(decoded[80:]) == sorted([str(changed), str(touched)])


def test_the_same_size_and_name_at_another_time_is_decoded_again(
    tree: Path, tmp_path: Path
) -> None:
    assert checked(tree, tmp_path / "cache").found["train"][0].reason is None
    path = tree / "a" / "000.png"
    before = path.stat().st_mtime_ns
    path.write_bytes(bytes(path.stat().st_size))
    os.utime(path, ns=(before + 1, before + 1))
    assert checked(tree, tmp_path / "cache").found["train"][0].reason is not None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"version": 3}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_damaged_cache_is_made_anew(
    tree: Path, tmp_path: Path, decoded: list[str], damage: bytes
) -> None:
    first = checked(tree, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "checks").iterdir()
    file.write_bytes(damage)
    assert checked(tree, tmp_path / "cache") == first
    assert len(decoded) == 160
    assert len(json.loads(file.read_bytes())["files"]) == 80


@pytest.mark.parametrize(
    "entry", [[1, 2], "x", None, [1, 2, 3, "PNG", 1, 1], [1, "2", None, "PNG", 1, 1], {}]
)
def test_a_wrong_entry_in_the_cache_is_no_error(tree: Path, tmp_path: Path, entry: object) -> None:
    first = checked(tree, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "checks").iterdir()
    stored = json.loads(file.read_bytes())
    stored["files"][str(tree / "a" / "000.png")] = entry
    file.write_text(json.dumps(stored))
    assert checked(tree, tmp_path / "cache") == first


def test_findings_of_other_decoders_do_not_count(
    tree: Path, tmp_path: Path, decoded: list[str]
) -> None:
    checked(tree, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "checks").iterdir()
    stored = json.loads(file.read_bytes())
    stored["version"] += "0"
    file.write_text(json.dumps(stored))
    checked(tree, tmp_path / "cache")
    assert len(decoded) == 160


def test_a_cache_that_cannot_be_written_is_a_warning(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    check = checked(tree, tmp_path / "cache")
    assert len(check.found["train"]) == 80
    assert "not kept for the next run" in check.warnings[0]


def test_an_interrupted_check_keeps_what_it_found(
    tree: Path, tmp_path: Path, decoded: list[str]
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        check_parts(open_source(DataConfig(source=str(tree))).parts, interrupt, cache)
    (file,) = (cache / "checks").iterdir()
    kept = len(json.loads(file.read_bytes())["files"])
    assert kept >= 16
    del decoded[:]
    checked(tree, cache)
    assert len(decoded) == 80 - kept


def test_the_cache_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "trickbag"
    for ignored in ("", "relative"):  # as the XDG specification says
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == Path.home() / ".cache" / "trickbag"


def test_the_cache_file_is_replaced_whole(tmp_path: Path) -> None:
    cache = CheckCache(tmp_path, "/root")
    cache.put("/root/a", 1, 2, Checked(None, "PNG", 3, 4))
    assert cache.save() is None
    assert [entry.name for entry in cache.path.parent.iterdir()] == [cache.path.name]
    assert CheckCache(tmp_path, "/root").get("/root/a", 1, 2) == (None, "PNG", 3, 4)
    assert CheckCache(tmp_path, "/root").get("/root/a", 1, 3) is None
    assert CheckCache(tmp_path, "/other").get("/root/a", 1, 2) is None


def test_diagnosis(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"train/a": 3, "train/b": 2, "val/a": 1})
    (tree / "train" / "a" / "000.png").write_bytes(b"")
    (tree / "train" / "b" / "000.png").write_bytes(encode(photo(100, 10), "JPEG"))
    found = diagnose(DataConfig(source=str(tree)), cache_dir=tmp_path / "cache").to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "source": str(tree),
        "classes": ["a", "b"],
        "parts": {
            "train": {"images": 4, "classes": {"a": 2, "b": 2}},
            "val": {"images": 1, "classes": {"a": 1, "b": 0}},
        },
        "labels_per_image": None,
        "formats": {"PNG": 4, "JPEG": 1},
        "width": {"min": 20, "median": 21, "max": 100},
        "height": {"min": 10, "median": 16, "max": 16},
        "left_out": [{"file": "train/a/000.png", "reason": "empty file"}],
        "warnings": [],
    }


def test_diagnosis_of_several_labels_counts_an_image_with_each(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"pictures": 5})
    (tmp_path / "pictures" / "004.png").write_bytes(b"")
    rows = ["000,cat dog", "001,dog", "002,dog bird cat", "003,", "004,cat"]
    table = tmp_path / "pictures.csv"
    table.write_text("\n".join(["image,label", *rows]) + "\n")
    cache = tmp_path / "cache"
    found = diagnose(DataConfig(source=str(table), multi_label=True), cache_dir=cache).to_dict()
    assert found["parts"] == {"train": {"images": 3, "classes": {"bird": 1, "cat": 2, "dog": 3}}}
    assert found["labels_per_image"] == {"1": 1, "2": 1, "3": 1}
    assert {one["file"]: one["reason"] for one in found["left_out"]} == {
        "003": "no label in line 5",
        "pictures/004.png": "empty file",
    }
    assert found["warnings"] == [
        f"{table}: 1 row has no label and is left out: an image needs at least one"
    ]
    # Read as one class each the labels look odd, which is said, but not guessed.
    plain = diagnose(DataConfig(source=str(table)), cache_dir=cache)
    assert plain.several is None
    assert plain.counts["train"] == {"cat": 0, "cat dog": 1, "dog": 1, "dog bird cat": 1}
    expected = (
        f"{table}: 'cat dog' is read as one class; where it is several labels: --set "
        f"data.multi_label=true"
    )
    assert plain.warnings == (expected,)


def test_names_of_classes_may_have_blanks(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"pictures": 3})
    table = tmp_path / "pictures.csv"
    table.write_text("image,label\n000,golden retriever\n001,labrador retriever\n002,cat\n")
    assert not diagnose(DataConfig(source=str(table)), cache_dir=tmp_path / "cache").warnings


def test_diagnosis_of_nothing_but_damage(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"a": 1, "b": 1})
    for path in tree.rglob("*.png"):
        path.write_bytes(b"")
    found = diagnose(DataConfig(source=str(tree)), cache_dir=tmp_path / "cache")
    assert found.widths is None
    assert len(found.left_out) == 2


def test_diagnosis_of_images_in_memory() -> None:
    found = diagnose(DataConfig()).to_dict()
    assert found["formats"] == {"array": 1797}
    assert found["width"] == found["height"] == {"min": 8, "median": 8, "max": 8}
    assert found["parts"]["train"]["images"] == 1797
