"""``sanreid export``: an encoder as a file for another program, in float32 or int8."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanreid.cli.options import (
    add_format_options,
    add_names_option,
    file_path,
    fraction,
    positive_int,
)
from sanreid.cli.output import print_json, print_rows, printable, say
from sanreid.errors import WeightsError

if TYPE_CHECKING:
    from sanreid.backends.exports.formats import FormatName
    from sanreid.backends.exports.inputs import InputForm
    from sanreid.encoder import SANEncoder

__all__ = ["add_to"]

_DESCRIPTION = """\
Write an encoder as a file that another program runs, on machines without sanreid too: batches of
any size. Its metadata say how to prepare crops. It is run and compared with the encoder first,
and kept only if both agree.

OUT is NAME.onnx, NAME.xml for OpenVINO (NAME.bin goes beside it), NAME.torchscript, NAME.pt2 for
torch-export, or a directory.

--input says how the file takes crops: uint8-nhwc, bytes (N, H, W, 3); normalized, float
(N, 3, H, W) after mean and std, for boxmot; unit, float (N, 3, H, W) in [0, 1], for ultralytics.

tensorrt and coreml write the tested file that the toolkit reads, and print the toolkit's command
that builds OUT from it.

--int8 quantises by crops of the --calibration folders, and measures what that costs: mAP of the
float32 encoder and of the int8 file on labelled crops (--labelled, else the calibration folders),
every crop as a query under the Market-1501 rule. A file that loses more than --max-loss in any
folder is not kept.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        help="write an encoder for ONNX Runtime, OpenVINO, TorchScript and others",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("weights", metavar="NAME_OR_DIR", help="as --weights of other commands")
    parser.add_argument("out", type=file_path, metavar="OUT", help="the file to write")
    parser.add_argument(
        "--format",
        choices=(
            "onnx", "openvino", "torchscript", "torch-export",
            "tensorrt", "coreml",
        ),
        required=True,
        help="what it becomes",
    )  # fmt: skip
    parser.add_argument(
        "--input",
        choices=("uint8-nhwc", "normalized", "unit"),
        help="how the file takes crops (default: uint8-nhwc; for a toolkit normalized)",
    )
    group = parser.add_argument_group("int8")
    group.add_argument("--int8", action="store_true", help="quantise; needs --calibration")
    group.add_argument(
        "--calibration",
        type=file_path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of crops like those to be embedded",
    )
    group.add_argument(
        "--crops", type=positive_int, metavar="N", help="calibrate by N of them (default: 256)"
    )
    group.add_argument(
        "--labelled",
        type=file_path,
        nargs="+",
        metavar="DIR",
        help="folders of named crops to measure mAP on (default: those of --calibration)",
    )
    add_names_option(group)
    group.add_argument(
        "--max-loss", type=fraction, metavar="L", help="most mAP that may be lost (default: 0.01)"
    )
    parser.add_argument("--offline", action="store_true", help="never reach the network")
    add_format_options(parser, csv=False)
    parser.set_defaults(run=_run, usage_error=parser.error)


def _run(args: argparse.Namespace) -> int:
    if args.int8 != bool(args.calibration):
        args.usage_error("--int8 and --calibration DIR go together")
    if not args.int8 and (args.crops or args.labelled or args.max_loss is not None):
        args.usage_error("--crops, --labelled and --max-loss go with --int8")
    from sanreid.backends import export
    from sanreid.backends.exports.vendors import VENDORS
    from sanreid.encoder import SANEncoder

    vendor = VENDORS.get(args.format)
    file_format: FormatName = args.format if vendor is None else vendor.format
    if args.int8 and (vendor is not None or args.format not in ("onnx", "openvino")):
        args.usage_error("--int8 goes with --format onnx or openvino")
    form: InputForm = args.input or ("uint8-nhwc" if vendor is None else "normalized")
    out = args.out
    if vendor is not None and out.suffix:
        name = out.name.removesuffix(vendor.suffix)
        out = out.with_name(f"{name}.{file_format}")
    calibration = _spread(args.calibration, args.crops or 256) if args.int8 else None
    sets = _labelled(args) if args.int8 else []  # a wrong folder is reported before the long work
    encoder = SANEncoder.from_pretrained(
        args.weights, device="cpu", dtype="float32", local_files_only=args.offline
    )
    losses: list[dict[str, Any]] = []

    def accept(file: Path) -> None:
        """Measure what the quantised file loses."""
        exported = SANEncoder.from_pretrained(file, backend=args.format)
        limit = 0.01 if args.max_loss is None else args.max_loss
        for folder, crops in sets:
            say(f"measuring mAP on {len(crops)} crops of {folder}")
            before, after = _mean_ap(encoder, crops), _mean_ap(exported, crops)
            loss = before - after
            losses.append({"folder": str(folder), "float32": before, "int8": after, "loss": loss})
            if loss > limit:
                raise WeightsError(
                    f"int8 loses {loss:.4f} of mAP on {folder} ({before:.4f} in float32, "
                    f"{after:.4f}), more than {limit}; nothing was kept. More calibration crops, "
                    "nearer to those to be embedded, may help."
                )

    report = export(
        encoder,
        out,
        backend=file_format,
        input_form=form,
        calibration=calibration,
        accept=accept if args.int8 else None,
    )
    command = None
    if vendor is not None:
        target = args.out if args.out.suffix else report.path.with_suffix(vendor.suffix)
        command = vendor.command_for(report.path, target, form=form, config=encoder.config)
    if args.json:
        print_json(
            {
                "file": str(report.path),
                "format": args.format,
                "input": report.input_form,
                "precision": report.precision,
                "size_bytes": report.size_bytes,
                "lowest_cosine": report.lowest_cosine,
                "fingerprint": encoder.fingerprint,
                "mAP": losses,
                "next_command": command,
            }
        )
        return 0
    print(
        f"{printable(report.path)}: {report.precision}, {report.size_bytes / 1e6:.1f} MB, "
        f"lowest cosine to the encoder {report.lowest_cosine:.6f}"
    )
    if vendor is not None:
        print(f"Build the {vendor.title} file where {vendor.title} is installed:\n\n{command}")
    if losses:
        print("\nmAP, every crop as a query under the Market-1501 rule:")
        print_rows(losses, ("folder", "float32", "int8", "loss"), args)
    return 0


def _spread(folders: list[Path], count: int) -> list[Path]:
    """Return ``count`` images of the folders, evenly over their sorted names."""
    from sanreid.images import find_images

    paths = [path for folder in folders for path in find_images(folder)]
    taken = min(count, len(paths))
    return [paths[i * len(paths) // taken] for i in range(taken)]


def _labelled(args: argparse.Namespace) -> list[tuple[Path, Any]]:
    from sanreid.datasets import read_crops

    folders = args.labelled or args.calibration
    return [(folder, read_crops(folder, names=args.names)) for folder in folders]


def _mean_ap(encoder: SANEncoder, crops: Any) -> float:  # noqa: ANN401 - a CropSet, which is loaded late
    import numpy as np

    import sanreid

    embeddings = encoder.encode_files(crops.paths).embeddings
    people = ~np.isin(crops.pids, crops.ignored_pids)  # distractors ask nothing
    query = embeddings[people], crops.pids[people], crops.camids[people]
    return sanreid.evaluate(*query, embeddings, crops.pids, crops.camids).mAP
