"""Evaluate an encoder on a data set, with and without re-ranking.

The folders hold crops named as in Market-1501: 0002_c1s1_000451_03.jpg is person 2 under camera 1.

python examples/evaluate_dataset.py query/ bounding_box_test/
"""

from __future__ import annotations

import argparse

import sanreid
from sanreid.datasets import read_crops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("query", help="folder of query crops")
    parser.add_argument("gallery", help="folder of gallery crops")
    parser.add_argument("--weights", help="default: the bundled weights")
    args = parser.parse_args()

    query, gallery = read_crops(args.query), read_crops(args.gallery)
    encoder = sanreid.SANEncoder.from_pretrained(args.weights)
    query_embeddings = encoder.encode(query.paths, flip=True)
    gallery_embeddings = encoder.encode(gallery.paths, flip=True)

    report = sanreid.evaluate(
        query_embeddings,
        query.pids,
        query.camids,
        gallery_embeddings,
        gallery.pids,
        gallery.camids,
    )
    print("cosine     ", report)
    low, high = report.mAP_interval()
    print(f"            mAP between {low:.1%} and {high:.1%} for other people (95 %)")

    distances = sanreid.k_reciprocal_rerank(query_embeddings, gallery_embeddings)
    report = sanreid.evaluate_distances(
        distances, query.pids, query.camids, gallery.pids, gallery.camids
    )
    print("re-ranked  ", report)


if __name__ == "__main__":
    main()
