"""Embed a folder of crops into a gallery and search it for the person in a query crop.

python examples/search_folder.py crops/ query.jpg
"""

from __future__ import annotations

import argparse

import sanreid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="crops of people, searched recursively")
    parser.add_argument("query", help="a crop of the person to search for")
    parser.add_argument("-k", type=int, default=5, help="how many crops to show")
    parser.add_argument("--weights", help="default: the bundled weights")
    args = parser.parse_args()

    encoder = sanreid.SANEncoder.from_pretrained(args.weights)
    crops = encoder.encode_files([args.folder], on_error="collect")
    for path, reason in crops.failures:
        print(f"skipped {path}: {reason}")

    gallery = sanreid.Gallery(encoder.embedding_dim, encoder_fingerprint=encoder.fingerprint)
    gallery.add(crops.embeddings, metadata=[{"path": str(path)} for path in crops.paths])
    print(f"{len(gallery)} crops in the gallery")

    result = gallery.search(encoder.encode(args.query), k=args.k)
    for rank, hit in enumerate(result[0], start=1):
        print(f"{rank:>3}  {hit.similarity:.3f}  {hit.metadata['path']}")


if __name__ == "__main__":
    main()
