"""Every benchmark, one after the other, each in a process of its own.

    python -m tests.benchmarks [--out FOLDER] [NAME ...]

Writes ``FOLDER/NAME.json``. Close other programs first: the figures are wall-clock times. The
crops are those of ``SANREID_DATA`` where it is set, else rendered people.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

NAMES = ("encode", "evaluate", "rerank", "gallery")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), metavar="FOLDER")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in NAMES]:
        parser.error(f"no benchmark is named {unknown[0]!r}; there are {', '.join(NAMES)}")

    failed = []
    for name in args.names or NAMES:
        print(f"\n{name}", flush=True)
        module = f"tests.benchmarks.bench_{name}"
        command = [sys.executable, "-m", module, "--json", str(args.out / f"{name}.json")]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
