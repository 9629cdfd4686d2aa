"""The command ``adapt``: learn one's own cameras from crops without labels."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanreid.errors import DatasetError
from sanreid.train.commands.options import (
    Commands,
    common,
    overrides,
    refuse_several_processes,
    say,
)
from sanreid.utils.paths import as_path

if TYPE_CHECKING:
    from sanreid.train.loop.engine import Outcome

__all__ = ["add_to"]

_DESCRIPTION = """\
Adapt an encoder to your own cameras, from crops without labels:

  python -m sanreid.train adapt CROPS --output RUN

Before each epoch the crops are embedded, camera bias is taken out, and those that look like one
person are grouped; then the encoder learns the groups. It ends by itself once they no longer
change, and writes the weights directory RUN/weights. CROPS is a folder, or a table of crops
(.csv with the columns path, pid, camid). The camera of each crop must be known: the number after
c or cam in the file name, or else in a folder (cam2/0001.jpg), unless --names says how files are
named. Ctrl-C saves; --resume continues.
"""

_CAMERAS = """\
The camera of a crop is the number after c or cam in its file name, or else in a folder
(cam2/0001.jpg); where it stands elsewhere, --names says how files are named, or a .csv table with
the columns path, pid, camid.\
"""


def add_to(commands: Commands, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name,
        parents=[common(), overrides()],
        help="adapt an encoder to your own cameras, from crops without labels",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("crops", type=Path, metavar="CROPS", help="a folder or a .csv table")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="RUN", help="the folder of the run"
    )
    parser.add_argument(
        "--weights", default="san-r50", metavar="W",
        help="the encoder to begin with: a released name or a weights directory (default san-r50)",
    )  # fmt: skip
    parser.add_argument(
        "--names", metavar="N", help="how the files are named, as for sanreid evaluate"
    )
    parser.add_argument(
        "--tracklets", action="store_true",
        help="what the names (or the column pid) call a person is a tracklet: one person for "
        "certain; without it they are not used",
    )  # fmt: skip
    parser.add_argument(
        "--network",
        action="store_true",
        help="train the network, not only a map on its embeddings: learns more, takes longer",
    )
    parser.add_argument(
        "--size", type=_size, metavar="HxW",
        help="with --network, the input of the adapted encoder (default 128x64)",
    )  # fmt: skip
    parser.add_argument(
        "--terms", default="", metavar="TEXT", help="the terms of the crops, for the model card"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.set_defaults(run=_run, usage_error=parser.error)


def _run(args: argparse.Namespace) -> int:
    from sanreid.train import runtime  # noqa: PLC0415 - keeps --help fast
    from sanreid.train.config.loader import load_config  # noqa: PLC0415 - as above
    from sanreid.train.loop.engine import Engine  # noqa: PLC0415 - as above
    from sanreid.train.loop.stopping import sigterm_interrupts  # noqa: PLC0415 - as above
    from sanreid.train.tools.export import export_run  # noqa: PLC0415 - as above

    if args.size is not None and not args.network:
        args.usage_error("--size needs --network")
    if args.tracklets and args.names is None and args.crops.suffix.lower() != ".csv":
        args.usage_error("--tracklets needs --names, which tells the tracklets, or a .csv table")
    refuse_several_processes("adapt")
    preset = "adapt-network" if args.network else "adapt"
    config = load_config(preset, [*_settings(args), *args.overrides])
    run = as_path(config.run.output)
    runtime.prepare_process(config.run)
    with sigterm_interrupts():
        try:
            engine = Engine(config, resume=args.resume)
        except DatasetError as error:
            if args.names is None and "are not named as" in str(error):
                raise DatasetError(f"{error} {_CAMERAS}") from error
            raise
    outcome = engine.run()
    if outcome.stopped_by is not None:
        say(f"{run}: stopped after {outcome.step} steps; continue with --resume")
        return 128 + outcome.stopped_by
    out = export_run(run, run / "weights", which="last")
    _report(outcome)
    say(
        f"{out}: load it with sanreid.SANEncoder.from_pretrained({str(out)!r}), and embed the "
        "gallery again: embeddings of other weights cannot be compared with its own"
    )
    return 0


def _settings(args: argparse.Namespace) -> list[str]:
    """Return what the arguments say as settings over the packaged configuration."""
    from sanreid.weights.lookup import locate  # noqa: PLC0415 - keeps --help fast

    given = Path(args.weights)
    found = locate(given if given.is_dir() else args.weights)
    is_released = not given.exists() and found.entry is not None and "/" not in args.weights
    start = args.weights if is_released else str(found.path.parent.resolve())
    crops = {"folder": str(args.crops), "terms": args.terms}
    settings: dict[str, Any] = {
        "run.output": str(args.output),
        "run.name": f"adapted-from-{found.path.parent.name if given.is_dir() else found.name}",
        "init.weights": start,
        "clusters.tracklets": args.tracklets,
        **{f"data.sources.0.{key}": value for key, value in crops.items()},
    }
    for key, value in found.config.to_dict().items():
        if key != "input_size" or not args.network:
            settings[f"encoder.{key}"] = value
    if args.names is not None:
        settings["data.sources.0.names"] = args.names
    if args.size is not None:
        settings["encoder.input_size"] = list(args.size)
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, for example 128x64")
    return int(height), int(width)


def _report(outcome: Outcome) -> None:
    say("epoch  clusters  under several cameras  largest  in none  agreement")
    for row in outcome.clusters:
        agreement = "-" if row["agreement"] < 0 else f"{row['agreement']:.3f}"
        say(
            f"{row['epoch'] + 1:>5}  {row['clusters']:>8}  {row['across_cameras']:>21}  "
            f"{row.get('largest', '-'):>7}  {row['alone']:>7.1%}  {agreement:>9}"
        )
