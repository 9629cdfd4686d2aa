"""``sanreid demo``: the whole chain on packaged sample crops, offline, with a picture."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from sanreid.cli.options import add_encoder_options, file_path, load_encoder
from sanreid.cli.output import check_writable, print_rows, printable

__all__ = ["add_to"]

SHOWN = 5  # hits per query


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="embed sample crops, search them, draw the ranking",
        description="Embed packaged crops of rendered people, build a gallery of cameras 2 to 4, "
        "search it for each person of camera 1, print the ranking and draw it.",
    )
    parser.add_argument(
        "--output",
        type=file_path,
        default=Path("demo.png"),
        metavar="PICTURE",
        help="where to draw the ranking, .png or .jpg (default: demo.png)",
    )
    add_encoder_options(parser)
    parser.set_defaults(run=_run, csv=False)


def _run(args: argparse.Namespace) -> int:
    import sanreid
    from sanreid.datasets import read_crops
    from sanreid.viz import check_suffix, ranked_list, save_picture

    check_suffix(args.output)
    check_writable(args.output)
    crops = read_crops(Path(__file__).parent.parent / "demo", names="market1501")
    encoder = load_encoder(args)

    start = time.perf_counter()
    embeddings = encoder.encode(crops.paths, batch_size=args.batch_size, flip=args.flip)
    seconds = time.perf_counter() - start
    print(
        f"Embedded {len(crops)} crops of {crops.num_identities} people in {seconds:.1f} s "
        f"on {encoder.device}"
    )

    asks = crops.camids == 1
    gallery = sanreid.Gallery(encoder.embedding_dim, encoder_fingerprint=encoder.fingerprint)
    gallery.add(
        embeddings[~asks],
        pids=crops.pids[~asks].tolist(),
        camids=crops.camids[~asks].tolist(),
        metadata=[{"path": str(path)} for path in crops.select(~asks).paths],
    )
    people = crops.pids[asks].tolist()
    result = gallery.search(embeddings[asks], SHOWN, encoder_fingerprint=encoder.fingerprint)
    print(f"Searched a gallery of {len(gallery)} crops for each person of camera 1\n")
    print_rows(_rows(people, result), ["query", *(f"rank {r + 1}" for r in range(SHOWN))], args)

    report = sanreid.evaluate(
        embeddings[asks], people, [1] * len(people),
        embeddings[~asks], crops.pids[~asks], crops.camids[~asks],
    )  # fmt: skip
    print(
        f"\nPerson, similarity, camera; * is the right person: rank-1 {report.rank1:.0%}, "
        f"mAP {report.mAP:.0%}."
    )
    print("Eight rendered people say little; 'sanreid evaluate' measures on crops of your own.")

    picture = ranked_list(
        crops.select(asks).paths,
        result,
        query_pids=people,
        query_camids=[1] * len(people),
        title="Who is it? Camera 1 asks, cameras 2 to 4 answer",
    )
    save_picture(picture, args.output)
    print(f"\nThe ranking is drawn in {printable(args.output.resolve())}")
    return 0


def _rows(people: list[int], result: Any) -> list[dict[str, str]]:  # noqa: ANN401 - SearchResult
    rows = []
    for i, person in enumerate(people):
        row = {"query": f"person {person}"}
        for rank, hit in enumerate(result[i], start=1):
            mark = "*" if hit.pid == person else " "
            row[f"rank {rank}"] = f"{hit.pid}{mark} {hit.similarity:.2f} c{hit.camid}"
        rows.append(row)
    return rows
