"""Write the files of a new trick into a checkout of the repository, for its author to fill in.

trickbag new trick grid_mask --hook batch
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from trickbag.errors import UserError

if TYPE_CHECKING:
    import argparse

_TEMPLATES = Path(__file__).parent / "templates"
_MAX_NAME = 20  # longer names would need line breaks that the templates do not have


class _Hook(NamedTuple):
    """What the templates of a hook are filled with.

    template: the templates are `TEMPLATE_trick.txt` and `TEMPLATE_test.txt`. words: what stands for
    `$word` in them; `setting`, `default` and `other` (another value, for the table of contract
    tests) are there for every hook. formula, snippet: text of the card.
    """

    template: str
    words: dict[str, str]
    formula: str
    snippet: str


def _settings_hook(
    config: tuple[str, str, str], field: str, constraint: str, default: str, other: str
) -> _Hook:
    """Return a hook that sets a field of the recipe.

    `config` is the module of the config, the type that the hook has, and a class to test it with.
    """
    module, name, example = config
    return _Hook(
        template="settings",
        words={
            "config_module": module,
            "config_name": name,
            "config_class": example,
            "field": field,
            "setting": field,
            "constraint": constraint,
            "constraint_name": constraint.partition("(")[0],
            "default": default,
            "other": other,
        },
        formula=f"TODO: now `$hook.{field} = {field}`.",
        snippet=f"""from {module} import {example}
from trickbag.tricks.$name import $class_name

print($class_name().$hook({example}()).{field})""",
    )


_HOOKS = {
    "batch": _Hook(
        template="batch",
        words={"setting": "strength", "default": "0.4", "other": "0.2"},
        formula="TODO: now `x' = f x` with `f ~ U(1 - strength, 1 + strength)` for each image.",
        snippet="""import torch
from trickbag.tricks.$name import apply_$name

images = torch.rand(4, 3, 8, 8) * 255
changed = apply_$name(images, torch.rand(4) + 0.5)""",
    ),
    "loss": _Hook(
        template="loss",
        words={"setting": "weight", "default": "0.1", "other": "0.2"},
        formula="TODO: now `loss = L + weight * mean_k z_k^2`, z the logits.",
        snippet="""import torch
from torch.nn import functional
from trickbag.tricks.$name import apply_$name

network, labels = torch.nn.Linear(12, 3), torch.tensor([0, 1, 2, 0])
logits = network(torch.randn(4, 12))
loss = functional.cross_entropy(logits, labels) + 0.1 * apply_$name(logits).mean()
loss.backward()""",
    ),
    "network": _Hook(
        template="network",
        words={"setting": "factor", "default": "0.5", "other": "0.25"},
        formula="TODO: now `W' = factor W` for every convolution, before training.",
        snippet="""import torch
from trickbag.tricks.$name import apply_$name

network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
print(apply_$name(network, 0.5))""",
    ),
    "param_groups": _Hook(
        template="param_groups",
        words={"setting": "factor", "default": "0.5", "other": "0.25"},
        formula="TODO: now `lr' = factor lr` in every group of the optimizer.",
        snippet="""import torch
from trickbag.tricks.$name import apply_$name

groups = [{"params": list(torch.nn.Linear(8, 3).parameters()), "lr_scale": 1.0}]
print(apply_$name(groups, 0.5)[0]["lr_scale"])""",
    ),
    "model": _settings_hook(
        ("trickbag.models.config", "ModelConfig", "ResNetConfig"),
        "dropout",
        "Between(0, 1, open_low=True, open_high=True)",
        "0.2",
        "0.3",
    ),
    "data": _settings_hook(
        ("trickbag.data.config", "DataConfig", "DataConfig"),
        "flip_prob",
        "Between(0, 1)",
        "0.0",
        "0.25",
    ),
    "training": _settings_hook(
        ("trickbag.optim.config", "TrainConfig", "TrainConfig"), "lr", "Positive", "0.05", "0.2"
    ),
    "schedule": _settings_hook(
        ("trickbag.optim.schedule", "Schedule", "Schedule"),
        "warmup_epochs",
        "Positive",
        "5.0",
        "0.5",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("kind", metavar="trick", choices=("trick",), help="what to write")
    parser.add_argument("name", metavar="NAME", help="the trick's name, such as grid_mask")
    parser.add_argument(
        "--hook",
        choices=tuple(_HOOKS),
        default="batch",
        help="what the trick changes (batch); more hooks stand in docs/tricks.md",
    )
    parser.add_argument(
        "--slot", default="", help="a word: two tricks with the same slot exclude each other"
    )


def run(args: argparse.Namespace) -> int:
    """Write the files and say what to do next; return 0."""
    root = _checkout(Path.cwd())
    class_name = _class_name(args.name, root)
    if args.slot and not re.fullmatch(r"[a-z][a-z_]*", args.slot):
        raise UserError(f"--slot {args.slot!r}", "it must be a word in lower case, such as mix")
    hook = _HOOKS[args.hook]
    words = {
        "name": args.name,
        "class_name": class_name,
        "title": args.name.replace("_", " ").capitalize(),
        "hook": args.hook,
        "slot": f'    slot: ClassVar[str] = "{args.slot}"\n' if args.slot else "",
        **hook.words,
    }
    words |= {
        "formula": Template(hook.formula).substitute(words),
        "snippet": Template(hook.snippet).substitute(words),
    }
    files = {
        f"src/trickbag/tricks/{args.name}.py": f"{hook.template}_trick",
        f"docs/tricks/{args.name}.md": "card",
        f"tests/tricks/test_{args.name}.py": f"{hook.template}_test",
    }
    for file, template in files.items():
        text = Template((_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8"))
        (root / file).write_text(_sort_imports(text.substitute(words)), encoding="utf-8")
        print(f"wrote {root / file}")
    _add_row(root / "tests/tricks/table.py", words)
    print(_next_steps(args.name, list(files), images=args.hook in ("batch", "data")))
    return 0


def _checkout(folder: Path) -> Path:
    """Return the folder of the repository that holds `folder`; UserError if there is none."""
    for root in (folder, *folder.parents):
        if (root / "src/trickbag/tricks/trick.py").is_file() and (root / "tests/tricks").is_dir():
            return root
    raise UserError(
        f"{folder} is in no checkout of trickbag's repository, where `new` writes its files",
        "change to one; a trick can also stay in a package of yours: --with package.module:Class",
    )


def _class_name(name: str, root: Path) -> str:
    """Return the name of the trick's class; UserError for a bad name and for one that exists."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise UserError(
            f"trick {name!r}", "a name is words in lower case joined by _, such as grid_mask"
        )
    if len(name) > _MAX_NAME:
        raise UserError(f"trick {name!r}", f"a name has at most {_MAX_NAME} characters")
    for file in (
        f"src/trickbag/tricks/{name}.py",
        f"docs/tricks/{name}.md",
        f"tests/tricks/test_{name}.py",
    ):
        if (root / file).exists():
            raise UserError(f"trick {name!r}: {file} exists already", "choose another name")
    class_name = "".join(word.capitalize() for word in name.split("_"))
    # Class names are unique in the package, and a template must not hide what it imports.
    defined = re.compile(rf"^(class )?{class_name}\b", flags=re.MULTILINE)
    for path in sorted((root / "src/trickbag").rglob("*.py")):
        if defined.search(path.read_text(encoding="utf-8")):
            raise UserError(
                f"trick {name!r}: {path.relative_to(root)} has a {class_name} already",
                "choose another name",
            )
    return class_name


def _sort_imports(text: str) -> str:
    """Sort neighbouring lines that import from the package: the name decides on their order."""

    def sort(match: re.Match[str]) -> str:
        return "".join(sorted(match[0].splitlines(keepends=True), key=lambda line: line.split()[1]))

    return re.sub(r"^(from trickbag\..*\n)+", sort, text, flags=re.MULTILINE)


def _add_row(table: Path, words: dict[str, str]) -> None:
    """Insert the trick into the table of the contract tests, or print what to insert."""
    statement = Template("from trickbag.tricks.$name import $class_name\n").substitute(words)
    row = Template("        Entry($class_name($setting=$other)),\n").substitute(words)
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    imports = [i for i, line in enumerate(lines) if line.startswith("from trickbag.tricks.")]
    rows = [i for i, line in enumerate(lines) if line.startswith("        Entry(")]
    if not imports or not rows:
        print(f"add to {table}:\n\n{statement}\n{row}")
        return
    # The rows first: they stand below the imports, whose places so stay right.
    lines.insert(next((i for i in rows if lines[i].lower() > row.lower()), rows[-1] + 1), row)
    lines.insert(next((i for i in imports if lines[i] > statement), imports[-1] + 1), statement)
    table.write_text("".join(lines), encoding="utf-8")
    print(f"wrote a row of {table}")


def _next_steps(name: str, files: list[str], *, images: bool) -> str:
    steps = [
        f"Replace every TODO: grep -n TODO {' '.join(files)}",
        f"Test it: python -m pytest tests/test_every_trick.py tests/tricks -k {name}",
        "Check it: make check",
    ]
    if images:
        picture = (
            f"Draw it: add `--with {name}` to a command under 'What tricks do to images' in "
            "docs/tricks.md, run that command, and link its picture in the card. If the trick "
            "changes no pixel, name it in _CHANGES_NO_PIXELS of tests/test_docs.py."
        )
        steps.insert(1, picture)
    numbered = "\n".join(f"{i}. {step}" for i, step in enumerate(steps, 1))
    return f"\nNext:\n{numbered}\nAll that a trick can change, and the rules: docs/tricks.md."
