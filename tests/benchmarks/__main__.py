"""Run every benchmark in sequence, each in its own process; then write their page.

    python -m tests.benchmarks [--out FOLDER] [NAME ...]

Write ``FOLDER/NAME.json`` and, if FOLDER is the documentation's, its pictures and its page. Close
other programs first: times are wall-clock times. The crops are those of ``SANREID_DATA`` if it is
set, otherwise rendered people. The largest runs need 8 GB of memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import page

MSMT17 = "--queries 11659 --gallery 82161 --only sanreid --repeats 1"
RUNS = {  # file name: module and its options
    "encode": "bench_encode",
    "backends": "bench_backends",
    "stream": "bench_stream",
    "scale": "bench_scale",
    "scale-tiny": "bench_scale --tiny",
    "evaluate": "bench_evaluate",
    "evaluate-msmt17": f"bench_evaluate {MSMT17}",
    "evaluate-large": "bench_evaluate --queries 10000 --gallery 500000 --only sanreid --repeats 1",
    "rerank": "bench_rerank",
    "rerank-msmt17": f"bench_rerank {MSMT17}",
    "gallery": (
        "bench_gallery --size 100000 --parts search approximate --kinds ivf-sq8 ivf hnsw-sq8"
    ),
    "latency": "bench_latency",
    "gallery-million": (
        "bench_gallery --size 1000000 --parts scale disk approximate --kinds ivf-sq8 ivf"
    ),
    "cameras": "bench_cameras",
    "serve": "bench_serve",
    "milvus": "bench_milvus",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(RUNS)}")
    parser.add_argument("--out", type=Path, default=page.RESULTS, metavar="FOLDER")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in RUNS]:
        parser.error(f"no benchmark is named {unknown[0]!r}; choose from {', '.join(RUNS)}")

    failed = []
    for name in args.names or RUNS:
        print(f"\n{name}", flush=True)
        module, *options = RUNS[name].split()
        command = [sys.executable, "-m", f"tests.benchmarks.{module}", *options]
        command += ["--json", str(args.out / f"{name}.json")]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if args.out == page.RESULTS:
        page.draw()
        page.PAGE.write_text(page.page(), encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
