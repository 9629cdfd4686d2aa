"""Train, measure, export.

    python -m sanreid.train CONFIG.toml [--set key=value]... [--resume]
    python -m sanreid.train evaluate RUN [--which best|last] [--sets CONFIG] [--against RUN]
    python -m sanreid.train export RUN OUT [--which best|last] [--float32]
    python -m sanreid.train find-lr CONFIG.toml [--set key=value]...
    python -m sanreid.train balance RUN [--set key=value]...
    python -m sanreid.train list

CONFIG is a TOML file or the name of a packaged one. Exit status: 0 done, 1 our error (one line
on stderr), 2 usage; a run that a signal stopped ends, after its checkpoint is written, with 128
plus the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from sanreid.errors import SanreidError
from sanreid.train.config.loader import load_config, packaged_configs
from sanreid.train.loop import distributed
from sanreid.train.loop.device import resolve_device
from sanreid.train.loop.engine import Engine

__all__ = ["main"]

_COMMANDS = ("run", "evaluate", "export", "find-lr", "balance", "list")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; give the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] not in (*_COMMANDS, "-h", "--help"):
        arguments.insert(0, "run")
    args = _parser().parse_args(arguments)
    level = logging.WARNING if args.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        status: int = args.run(args)
    except SanreidError as error:
        return _failed(error)
    except OSError as error:  # a full disk, a folder nobody may write to
        return _failed(error)
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sanreid.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="say nothing but errors")
    overrides = argparse.ArgumentParser(add_help=False)
    overrides.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting, for example --set optimizer.lr=1e-4",
    )  # fmt: skip

    run = commands.add_parser("run", parents=[common, overrides], help="train (may be left out)")
    run.add_argument("config", help=f"a TOML file, or one of: {', '.join(packaged_configs())}")
    run.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    run.set_defaults(run=_run)

    evaluate = commands.add_parser(
        "evaluate", parents=[common, overrides], help="measure a run's encoder"
    )
    evaluate.add_argument("folder", type=Path, metavar="RUN")
    evaluate.add_argument("--which", choices=("best", "last"), default="best")
    evaluate.add_argument(
        "--sets", metavar="CONFIG", help="measure the evaluation sets of this configuration"
    )
    evaluate.add_argument(
        "--against", type=Path, metavar="RUN", help="also give the gain in mAP over this run"
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    evaluate.set_defaults(run=_evaluate)

    export = commands.add_parser("export", parents=[common], help="write a weights directory")
    export.add_argument("folder", type=Path, metavar="RUN")
    export.add_argument("out", type=Path, metavar="OUT")
    export.add_argument("--which", choices=("best", "last"), default="best")
    export.add_argument("--float32", action="store_true", help="store no float16")
    export.set_defaults(run=_export)

    find_lr = commands.add_parser(
        "find-lr", parents=[common, overrides], help="try rising learning rates"
    )
    find_lr.add_argument("config")
    find_lr.add_argument("--steps", type=int, default=100, help="how many (default 100)")
    find_lr.set_defaults(run=_find_lr)

    balance = commands.add_parser(
        "balance",
        parents=[common, overrides],
        help="show how strongly each term of a run's loss pulls at the encoder",
    )
    balance.add_argument("folder", type=Path, metavar="RUN")
    balance.add_argument("--batches", type=int, default=4, help="how many (default 4)")
    balance.set_defaults(run=_balance)

    names = commands.add_parser("list", parents=[common], help="name the packaged configurations")
    names.set_defaults(run=_list)
    return parser


def _run(args: argparse.Namespace) -> int:
    config = load_config(args.config, args.overrides)
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    distributed.start(resolve_device(config.run.device))
    if not distributed.is_main():  # one of them tells of the run
        logging.getLogger("sanreid").setLevel(logging.WARNING)
    try:
        outcome = Engine(config, resume=args.resume).run()
    finally:
        distributed.stop()
    return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


def _evaluate(args: argparse.Namespace) -> int:
    from sanreid.train.tools.evaluate import Measurement, evaluate_run  # noqa: PLC0415 - fast --help

    options = {"which": args.which, "overrides": args.overrides, "sets": args.sets}
    reports = evaluate_run(args.folder, **options)
    found = {name: Measurement.of(report).to_dict() for name, report in reports.items()}
    if args.against is not None:
        options["sets"] = args.sets or args.folder  # both on the same
        others = evaluate_run(args.against, **options)
        for name, report in reports.items():
            gain, low, high = report.mAP_gain(others[name])
            found[name] |= {"gain": gain, "gain_low": low, "gain_high": high}
    if args.json:
        _say(json.dumps(found, indent=2))
        return 0
    for name, one in found.items():
        _say(
            f"{name}: mAP {one['mAP']:.4f} (95 %: {one['mAP_low']:.4f} to {one['mAP_high']:.4f}), "
            f"rank-1 {one['rank1']:.4f}, rank-5 {one['rank5']:.4f}, mINP {one['mINP']:.4f}, "
            f"{one['num_queries']} queries"
        )
        if args.against is not None:
            _say(
                f"  mAP {one['gain']:+.4f} against {args.against} "
                f"(95 %: {one['gain_low']:+.4f} to {one['gain_high']:+.4f})"
            )
    return 0


def _export(args: argparse.Namespace) -> int:
    from sanreid.train.tools.export import export_run  # noqa: PLC0415 - keeps --help fast
    from sanreid.train.tools.manifest_row import MANIFEST_ROW  # noqa: PLC0415 - as above

    out = export_run(args.folder, args.out, which=args.which, half=not args.float32)
    row = json.loads((out / MANIFEST_ROW).read_text(encoding="utf-8"))
    if row["role"] == "texture-generator":
        _say(
            f"{out}: paint with "
            f"python -m sanreid.train.textures.generator CROPS OUT --weights {out}"
        )
    else:
        _say(f"{out}: load it with sanreid.SANEncoder.from_pretrained({str(out)!r})")
    return 0


def _find_lr(args: argparse.Namespace) -> int:
    from sanreid.train.tools.find_lr import find_lr  # noqa: PLC0415 - keeps --help fast

    config = load_config(args.config, args.overrides)
    found = find_lr(config, steps=args.steps)
    for lr, loss in found.curve:
        _say(f"{lr:.3e}  {loss:.4f}")
    _say(f"suggested: --set optimizer.lr={found.suggestion:.2e}")
    return 0


def _balance(args: argparse.Namespace) -> int:
    from sanreid.train.tools.balance import gradient_balance  # noqa: PLC0415 - keeps --help fast

    found = gradient_balance(args.folder, overrides=args.overrides, batches=args.batches)
    _say("gradient of the unweighted term, relative to identity and triplet together (cosine)")
    for name, stages in found.items():
        pulls = (f"{stage} {p.relative:.3g} ({p.cosine:+.2f})" for stage, p in stages.items())
        _say(f"{name:>14}: " + ", ".join(pulls))
    return 0


def _failed(error: Exception) -> int:
    sys.stderr.write(f"sanreid.train: {' '.join(str(error).split())}\n")
    return 1


def _list(_: argparse.Namespace) -> int:
    for name in packaged_configs():
        _say(name)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
