"""The command ``evaluate``: measure the encoder of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sanreid.train.commands.options import Commands, common, overrides, say, which_checkpoint

__all__ = ["add_to"]


def add_to(commands: Commands, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name,
        parents=[common(), overrides(), which_checkpoint()],
        help="measure the encoder of a run",
    )
    parser.add_argument(
        "--sets", metavar="CONFIG", help="use the evaluation sets of this configuration or run"
    )
    parser.add_argument(
        "--against",
        metavar="RUN|WEIGHTS",
        help="also print the gain in mAP over this run, weights directory, or name of "
        "'sanreid weights list'",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from sanreid.train.evaluation.measuring import Measurement  # noqa: PLC0415 - fast --help
    from sanreid.train.tools.evaluate import evaluate_run, evaluate_weights  # noqa: PLC0415 - as above

    options: dict[str, Any] = {
        "which": args.which, "overrides": args.overrides, "sets": args.sets
    }  # fmt: skip
    reports = evaluate_run(args.folder, **options)
    found = {name: Measurement.of(report).to_dict() for name, report in reports.items()}
    if args.against is not None:
        options["sets"] = args.sets or args.folder  # both on the same sets
        if _is_run(args.against):
            others = evaluate_run(Path(args.against), **options)
        else:
            others = evaluate_weights(args.against, args.folder, **options)
        for name, report in reports.items():
            gain, low, high = report.mAP_gain(others[name])
            found[name] |= {"gain": gain, "gain_low": low, "gain_high": high}
    if args.json:
        say(json.dumps(found, indent=2))
        return 0
    for name, one in found.items():
        say(
            f"{name}: mAP {one['mAP']:.4f} (95 %: {one['mAP_low']:.4f} to {one['mAP_high']:.4f}), "
            f"rank-1 {one['rank1']:.4f}, rank-5 {one['rank5']:.4f}, mINP {one['mINP']:.4f}, "
            f"{one['num_queries']} queries"
        )
        if args.against is not None:
            say(
                f"  mAP {one['gain']:+.4f} against {args.against} "
                f"(95 %: {one['gain_low']:+.4f} to {one['gain_high']:+.4f})"
            )
    return 0


def _is_run(name: str) -> bool:
    """Return whether it is the folder of a run, rather than weights."""
    return any(Path(name).glob("*.ckpt")) if Path(name).is_dir() else False
