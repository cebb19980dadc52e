"""Write a trained network as a file for other programs: ONNX, safetensors, or torch's own.

The file is checked against the network on images of the run's data before it appears. The published
variables of an original network of Lee et al. 2020 can be given in a run's place, with its name:
--network assemble50.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from trickbag.evaluate.trained import Trained
    from trickbag.export.format import Format

_FORMATS = ("onnx", "safetensors", "torch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run's folder or weights (.safetensors); or an .npz or a TensorFlow checkpoint, "
        "with --network",
    )
    parser.add_argument("--format", metavar="|".join(_FORMATS), required=True, help="what to write")
    parser.add_argument(
        "--out", metavar="FILE", help="default: beside the weights, with the ending of the format"
    )
    parser.add_argument("--force", action="store_true", help="replace the file where it exists")
    parser.add_argument(
        "--network",
        metavar="NAME",
        help="the original network whose variables RUN holds: assemble50",
    )


def run(args: argparse.Namespace) -> int:
    """Write the file; return 0."""
    from pathlib import Path
    from typing import Literal

    from trickbag.settings import parse

    name = parse(Literal["onnx", "safetensors", "torch"], args.format, "--format")

    from trickbag.export.formats import FORMATS

    form = FORMATS[name]
    form.require()
    source = Path(args.run).expanduser()
    target = _target(args, source, form)

    from trickbag.cli.terminal import printable
    from trickbag.export.exported import export

    trained = _load(source, args.network)
    made = export(trained, target, form)
    print(
        f"{made.format}: {printable(str(made.path))} ({made.size / 1e6:,.1f} MB, "
        f"{len(trained.classes):,} classes)"
    )
    print(
        f"checked on {made.checked}: the largest difference of a logit is {made.difference:.2g}, "
        f"the largest logit {made.largest:.3g}"
    )
    return 0


def _target(args: argparse.Namespace, source: Path, form: Format) -> Path:
    """Choose and check the place to write before anything is computed."""
    from pathlib import Path

    from trickbag.errors import UserError
    from trickbag.train.folder.run_folder import RunFolder

    folder = RunFolder(source if source.is_dir() else source.parent)
    if args.out is None:
        # Of a checkpoint, model.ckpt-123, the number is no ending.
        known = source.suffix in (".safetensors", ".npz", ".index")
        weights = (
            folder.best
            if source.is_dir()
            else source
            if known
            else source.with_name(f"{source.name}.ckpt")
        )
        path = weights.with_suffix(form.suffix)
        if path in (folder.best, source):
            raise UserError(
                f"--format {form.name}: {path} is what is exported; say where to write: --out FILE"
            )
    else:
        path = Path(args.out).expanduser()
    if path.is_dir():
        raise UserError(f"--out {str(path)!r} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise UserError(f"--out {str(path)!r}: there is no folder {path.parent}")
    own = (
        folder.recipe,
        folder.metrics,
        folder.checkpoint,
        folder.best,
        folder.result,
        folder.predictions,
        source,
    )
    if path.exists() and any(path.resolve() == file.resolve() for file in own):
        raise UserError(f"--out {str(path)!r} is a file of the run itself; choose another name")
    if path.exists() and not args.force:
        raise UserError(f"{path} exists: add --force to replace it, or choose another --out")
    return path


def _load(source: Path, network: str | None) -> Trained:
    from trickbag.errors import UserError
    from trickbag.evaluate.trained import Trained
    from trickbag.models.official.networks import official_names
    from trickbag.models.official.variables import is_variables

    if is_variables(source):
        if network is None:
            raise UserError(
                f"{source} holds variables, which do not say of which network: give its name, "
                f"--network {', '.join(official_names())}"
            )
        return Trained.official(source, network, "cpu")
    if network is not None:
        raise UserError(
            f"--network {network!r} is for an .npz or a TensorFlow checkpoint; {source} is none, "
            f"and a run says its "
            "network itself"
        )
    return Trained.load(source, "cpu")
