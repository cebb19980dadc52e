"""What a tree of folders is read as: parts and classes, by depth and names, or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.builders.trees import write_tree
from trickbag.data.dataset import fingerprint
from trickbag.data.labels import label_counts
from trickbag.data.sources.folder.source import open_folder
from trickbag.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.source import Source

IMAGES = "{1,2}.jpg"


def read(root: Path, text: str, parts: tuple[str, ...] | None = None) -> Source:
    """List a tree; `*` in its description stands for two images."""
    write_tree(root, text.replace("*", IMAGES))
    return open_folder(root, "S", parts=parts)


def counts(source: Source) -> str:
    """Write the images of each class in each part: `train a2 b2, val a2`."""
    texts = []
    for name, part in source.parts.items():
        numbers = label_counts(part.labels, len(source.classes))
        classes = zip(source.classes, numbers, strict=True)
        texts.append(" ".join([name, *(f"{label}{count}" for label, count in classes if count)]))
    return ", ".join(texts)


class Read(NamedTuple):
    """A tree, what it is read as, and texts that stand in its notes."""

    tree: str
    result: str
    notes: tuple[str, ...] = ()


READ = {
    "classes": Read("{a,b}/*", "train a2 b2"),
    "parts": Read("{train,val,test}/{a,b}/*", "train a2 b2, val a2 b2, test a2 b2"),
    "other words for the parts": Read(
        "{Training,VALIDATION,testing}/{a,b}/*", "train a2 b2, val a2 b2, test a2 b2"
    ),
    "dev and eval": Read("{train,dev}/{a,b}/*", "train a2 b2, val a2 b2"),
    "parts with a word before": Read("seg_{train,test}/{a,b}/*", "train a2 b2, test a2 b2", ()),
    "parts with a word behind": Read("{train-set,ValImages}/{a,b}/*", "train a2 b2, val a2 b2"),
    "parts with a year": Read("{train,val}2017/{a,b}/*", "train a2 b2, val a2 b2"),
    "parts within folders of the same name": Read(
        "seg_train/seg_train/{a,b}/* seg_test/seg_test/{a,b}/* seg_pred/seg_pred/*",
        "train a2 b2, test a2 b2",
        (
            "passed through, because 'seg_train/seg_train', 'seg_test/seg_test' lie alone",
            "not used, because beside 'seg_train': seg_pred",
        ),
    ),
    "trainval": Read("{trainval,test}/{a,b}/*", "train a2 b2, test a2 b2"),
    "the surer name": Read(
        "{train,train_old}/{a,b}/*", "train a2 b2", ("not used, because beside 'train': train_old",)
    ),
    "a folder alone": Read(
        "archive/{a,b}/*",
        "train a2 b2",
        ("passed through, because 'archive' lies alone in its folder",),
    ),
    "folders alone, and parts": Read(
        "x/y/{train,test}/{a,b}/*", "train a2 b2, test a2 b2", ("'x', 'x/y' lie alone in theirs",)
    ),
    "a folder alone beside what is hidden": Read(
        "archive/{a,b}/* __MACOSX/a/* .git/* @eaDir/*", "train a2 b2", ("passed through",)
    ),
    "a folder alone in each part": Read(
        "{train,val}/images/{a,b}/*", "train a2 b2, val a2 b2", ("'val/images' lie alone",)
    ),
    "a folder alone beside a loose image": Read(
        "archive/{a,b}/* 0.jpg", "train a2 b2", ("1 image outside of any class folder",)
    ),
    "a folder alone in each class": Read("{a,b}/images/*", "train a2 b2"),
    "folders within classes": Read("{a,b}/* a/x/y/*", "train a4 b2"),
    "a class called train": Read(
        "{bus,car,train}/*", "train bus2 car2 train2", ("'train' is a class",)
    ),
    "a class called test": Read("{exam,test}/*", "train exam2 test2", ("'test' is a class",)),
    "classes called test and train": Read(
        "{bus,test,train}/*", "train bus2 test2 train2", ("'test', 'train' are classes",)
    ),
    "a class called train in each part": Read(
        "{train,test}/{bus,train}/*", "train bus2 train2, test bus2 train2", ("'train' is a class",)
    ),
    "a class called train, with folders": Read(
        "{bus,car,train}/* train/old/1.jpg", "train bus2 car2 train3", ("'train' is a class",)
    ),
    "two kinds of trains": Read(
        "{bullet,steam}_train/*", "train bullet_train2 steam_train2", ("'bullet_train', 'steam_t",)
    ),
    "a train with folders": Read(
        "bullet_train/{in,out}side/* {bus,car}/*",
        "train bullet_train4 bus2 car2",
        ("'bullet_train' is a class",),
    ),
    "a class of val": Read("train/{a,b}/* val/a/*", "train a2 b2, val a2"),
    "a class of val with folders": Read("train/{a,b}/* val/a/x/*", "train a2 b2, val a2"),
    "test with fewer classes": Read(
        "Training/{a,b,c}/* Testing/{a,c}/*", "train a2 b2 c2, test a2 c2"
    ),
    "test without classes": Read(
        "train/{a,b}/* test/*", "train a2 b2", ("'test' has no class folders",)
    ),
    "test without classes, in a folder": Read(
        "train/{a,b}/* test/unknown/*", "train a2 b2", ("'test' has no class folders",)
    ),
    "parts within train": Read(
        "train/{train,val}/{a,b}/* test/{a,b}/*", "train a2 b2, val a2 b2, test a2 b2"
    ),
    "parts within classes": Read(
        "{a,b}/{train,test}/*",
        "train a2 b2, test a2 b2",
        ("the parts are folders within the classes, such as 'a/train'",),
    ),
    "classes that have folders": Read(
        "animals/{cat,dog}/* cars/{bus,van}/*",
        "train animals4 cars4",
        ("the folders within them, such as 'animals/cat', are none",),
    ),
    "changed copies in folders of each class": Read(
        "{a,b}/* {a,b}/{flip,turn}/*", "train a6 b6", ("such as 'a/flip', are none",)
    ),
    "a few classes that have the same folders": Read(
        "{a,b}/{left,right}/* {c,d,e}/*",
        "train a4 b4 c2 d2 e2",
        ("such as 'a/left', are none",),
    ),
    "as zips of the web unpack": Read(
        "x/{train,val,test,x/{train,val,test}}/{a,b}/* x/__MACOSX/train/*",
        "train a2 b2, val a2 b2, test a2 b2",
        ("not used, because beside 'x/train': x;",),
    ),
    "test without classes, in a folder of its name": Read(
        "asl_train/asl_train/{A,B}/* asl_test/asl_test/*",
        "train A2 B2",
        ("'asl_test' has no class folders",),
    ),
    "folders beside train": Read(
        "train/{a,b}/* extra/*", "train a2 b2", ("not used, because beside 'train': extra; --set",)
    ),
    "tables beside train": Read(
        "train/{a,b}/* labels/1.csv", "train a2 b2", ("not used, because beside 'train': labels",)
    ),
    "one class": Read("a/*", "train a2"),
    "val alone": Read("val/{a,b}/*", "val a2 b2"),
    "composed and decomposed": Read("train/{é,b}/* test/{e\u0301,b}/*", "train b2 é2, test b2 é2"),
}


@pytest.mark.parametrize("name", READ)
def test_what_a_tree_is_read_as(tmp_path: Path, name: str) -> None:
    tree, result, notes = READ[name]
    source = read(tmp_path, tree)
    assert counts(source) == result
    texts = " ".join(note.text for note in source.notes)
    for text in notes:
        assert text in texts
    assert notes or not texts


REFUSED = {
    "folds": (
        "fold{1,2,3}/{a,b}/*",
        "data.parts=train:fold1,train:fold2,val:fold3; if classes: --set data.parts=train:.",
    ),
    "the same classes in each": ("{A,B}/{cat,dog}/*", "the same folders (cat, dog) lie in A, B"),
    "nearly the same classes": ("{A,B}/{cat,dog}/* B/fox/*", "these may be parts or classes"),
    "one with fewer classes": ("A/{cat,dog}/* B/cat/*", "these may be parts or classes"),
    "in another case": ("A/{cat,dog}/* B/{Cat,Dog}/*", "these may be parts or classes"),
    "an image beside the classes": ("{A,B}/{cat,dog}/* A/1.jpg", "these may be parts or classes"),
    "beneath folders alone": ("archive/fold{1,2}/{a,b}/*", "data.parts=train:archive/fold1,val:"),
    "deeper": ("site{A,B}/{day,night}/{a,b}/*", "these may be parts or classes"),
    "each deeper": ("siteA/day/{a,b}/* siteB/night/{a,b}/*", "these may be parts or classes"),
    "folds within train": ("train/fold{1,2}/{a,b}/* test/{a,b}/*", "train:train/fold1"),
    "folds of parts": ("fold{1,2}/{train,val}/{a,b}/*", "these may be parts or classes"),
    "folders within classes": ("{cat,dog}/{left,right}/*", "if classes: --set data.parts=train:."),
    "parts without classes": ("{train,test}/*", "train has 2 images but no class folders"),
    "val without classes": ("train/{a,b}/* val/*", "data.parts=train:train leaves it out"),
    "two folders for val": ("{train,val,valid}/{a,b}/*", "several folders for val: val, valid"),
    "two prefixes": ("{x_train,y_train,z_test}/{a,b}/*", "several folders for train"),
    "parts within test": ("train/{a,b}/* test/{train,test}/{a,b}/*", "within 'test' lie folders"),
    "no train within train": (
        "train/{a,b}/* test/{val,x}/{a,b}/*",
        "such as --set data.parts=train:train,test:test",
    ),
    "a copy beside the classes": ("{a,b,all/{a,b}}/*", "in 'all' lie folders of the same names"),
    "a class or a part": ("{bus,car,train}/{x,y}/*", "it may be a part or a class"),
    "nothing": ("notes/1.txt", "has no image in its class folders, but 1 .txt"),
    "an empty class": ("{a,b}/* c/1.xyz", "no image in c, but 1 .xyz; add images or remove"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    tree, text = REFUSED[name]
    with pytest.raises(UserError) as caught:
        read(tmp_path, tree)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


GIVEN = {
    "folds": ("fold{1,2,3}/{a,b}/*", "train:fold1,train:fold2,val:fold3", "train a4 b4, val a2 b2"),
    "classes": ("{cat,dog}/{left,right}/*", "train:.", "train cat4 dog4"),
    "any names": ("{x,y}/{a,b}/*", "test:y, train:./x/", "train a2 b2, test a2 b2"),
    "within classes": ("{a,b}/fold{1,2}/*", "train:*/fold1,val:*/fold2", "train a2 b2, val a2 b2"),
    "deep": ("d/{a,b}/f{1,2}/x/*", "train:d/*/f1/x,test:d/*/f2", "train a2 b2, test a2 b2"),
    "train as a class": ("{bus,train}/{x,y}/*", "train:.", "train bus4 train4"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_parts_that_are_given(tmp_path: Path, name: str) -> None:
    tree, parts, result = GIVEN[name]
    items = tuple(item.strip() for item in parts.split(","))
    assert counts(read(tmp_path, tree, items)) == result


def test_settings_that_are_suggested_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, "fold1/{a,b}/1.jpg f/{a,b}/1.jpg")
    assert "--set data.parts=train:f,val:fold1;" in str(caught.value)
    (tmp_path / "f").rename(tmp_path / "fold 2")
    with pytest.raises(UserError) as caught:
        read(tmp_path, "")
    assert "--set 'data.parts=train:fold 2,val:fold1';" in str(caught.value)


def test_the_reading_is_part_of_the_identity(tmp_path: Path) -> None:
    parts = read(tmp_path, "{Training,Testing}/{a,b}/*")
    classes = read(tmp_path, "", ("train:.",))
    assert fingerprint(parts.classes, parts.parts) != fingerprint(classes.classes, classes.parts)


WRONG = {
    "train:z": "there is no such folder",
    "train:A/a": "there are no class folders",
    "train:A,val:A/a": "there are no class folders",
    "train:.,val:A": "the images of 'A/a' (val) also lie in 'A' (train)",
    "train:.git": "there is no such folder",
    "train:*/z": "there are no class folders",
}


@pytest.mark.parametrize("parts", WRONG)
def test_parts_that_are_wrong(tmp_path: Path, parts: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, "{A,B}/{a,b}/* .git/{a,b}/*", tuple(parts.split(",")))
    assert WRONG[parts] in str(caught.value)


def test_links_in_circles_are_not_passed_through_for_ever(tmp_path: Path) -> None:
    write_tree(tmp_path, "x/1.jpg")
    (tmp_path / "x" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "x" / "1.jpg").unlink()
    with pytest.raises(UserError):
        open_folder(tmp_path, "S")
    write_tree(tmp_path, "train/{a,b}/1.jpg test/")
    (tmp_path / "test" / "again").symlink_to(tmp_path / "test", target_is_directory=True)
    assert counts(open_folder(tmp_path, "S")) == "train a1 b1"
