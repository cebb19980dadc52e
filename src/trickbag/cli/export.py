"""Write a trained network as a file for other programs: ONNX, safetensors, or torch's own format.

The file is checked against the network on images of the run's data before it appears. Instead of a
run, the published variables of an original network of Lee et al. 2020 can be given with its name:
--network assemble50.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from trickbag.evaluate.trained import Trained
    from trickbag.export.accuracy import PrecisionScores
    from trickbag.export.format import Format
    from trickbag.models.config import Precision

_FORMATS = ("onnx", "safetensors", "torch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run's folder, RUN:last, or weights (.safetensors); or an .npz or a TensorFlow "
        "checkpoint, with --network",
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
    from typing import Literal

    from trickbag.parsing import parse
    from trickbag.paths import expanded

    name = parse(Literal["onnx", "safetensors", "torch"], args.format, "--format")

    from trickbag.export.formats import FORMATS

    form = FORMATS[name]
    form.require()
    source = expanded(args.run)
    target = _target(args, source, form)

    from trickbag.cli.terminal import print_line
    from trickbag.export.exported import export

    trained = _load(source, args.network)
    exported = export(trained, target, form)
    print_line(
        f"{exported.format}: {exported.path} ({exported.size / 1e6:,.1f} MB, "
        f"{len(trained.classes):,} classes; {trained.weights_title})"
    )
    largest = f", the largest logit {exported.largest:.3g}" if exported.compared == "logit" else ""
    print_line(
        f"checked on {exported.checked}: the largest difference of a {exported.compared} from the "
        f"network in float32 is {exported.difference:.2g}{largest}"
    )
    if form.is_graph and trained.temperature is not None:
        print_line(
            f"the graph divides its logits by the temperature {trained.temperature:.4g}: a softmax "
            "of them is calibrated"
        )
    if exported.scores is not None:
        print_line(_scores_line(exported.scores))
    return 0


def _scores_line(compared: PrecisionScores) -> str:
    from trickbag.report.format import number, title

    def text(precision: Precision) -> str:
        return f"{number(compared.metric, compared.scores[precision])} %"

    others = "; ".join(
        f"{text(precision)} in {precision}"
        for precision in compared.scores
        if precision != "float32"
    )
    return (
        f"{title(compared.metric)} on {compared.images:,} validation images: {text('float32')} in "
        f"float32, as the file computes; the same weights have {others}"
    )


def _target(args: argparse.Namespace, source: Path, form: Format) -> Path:
    """Choose the file to write, and check it before anything is computed."""
    from trickbag.cli.options import output_file
    from trickbag.errors import UserError

    text = args.out
    if text is None:
        default = _weights(source).with_suffix(form.suffix)
        if default in (_weights(source), source):
            raise UserError(
                f"--format {form.name}: {default} is what is exported",
                "say where to write: --out FILE",
            )
        text = str(default)
    path = output_file(text, "--out", source, protected=(source,))
    if path.exists() and not args.force:
        raise UserError(f"{path} exists: add --force to replace it, or choose another --out")
    return path


def _weights(source: Path) -> Path:
    """Return the file that a source means, with an ending that can be replaced."""
    from trickbag.models.weights_names import folder_of_run, names_last_weights
    from trickbag.train.folder.run_folder import RunFolder

    if source.is_dir():
        return RunFolder(source).best
    if names_last_weights(source):
        return RunFolder(folder_of_run(source)).last
    # The number in the name of a checkpoint, model.ckpt-123, is no ending.
    has_ending = source.suffix in (".safetensors", ".npz", ".index")
    return source if has_ending else source.with_name(f"{source.name}.ckpt")


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
            "and a run says its network itself"
        )
    return Trained.load(source, "cpu")
