"""Embeddings of files that several tests ask for, computed once per run of the tests.

The processes of a run share what they compute in a folder of that run, and share the work too.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from sanreid.encoder import EncodedFiles, SANEncoder

_PARTS = 16  # of the files by their names; one process embeds a part while others embed others


def embedding_once(
    folder: Path, encode_files: Callable[..., EncodedFiles]
) -> Callable[..., EncodedFiles]:
    """Return a stand-in for ``SANEncoder.encode_files`` that embeds each file once.

    Args:
        folder: What is computed is kept here.
        encode_files: The method itself, which computes every embedding.
    """

    def stand_in(encoder: SANEncoder, paths: list[Path], **options: object) -> EncodedFiles:
        ways = [options.get("flip", False), options.get("normalize", True)]
        what = repr((encoder.fingerprint, str(encoder.dtype), str(encoder.device), ways))
        prefix = hashlib.sha256(what.encode()).hexdigest()[:16]
        parts: dict[int, list[Path]] = defaultdict(list)
        for path in paths:
            parts[zlib.crc32(str(path).encode()) % _PARTS].append(path)

        rows: dict[str, np.ndarray] = {}
        for patience_s in (0, -1):  # first what nobody has in hand; then wait for the rest
            for part, files in parts.items():
                if str(files[0]) in rows:
                    continue
                kept = folder / f"{prefix}-{part}.npz"
                try:
                    with FileLock(kept.with_suffix(".lock"), timeout=patience_s):
                        rows |= complete(kept, files, encoder, options)
                except Timeout:
                    continue
        return EncodedFiles(np.stack([rows[str(path)] for path in paths]), list(paths), [])

    def complete(
        kept: Path, files: list[Path], encoder: SANEncoder, options: dict[str, object]
    ) -> dict[str, np.ndarray]:
        known: dict[str, np.ndarray] = {}
        if kept.exists():
            with np.load(kept) as found:
                known = dict(zip(found["paths"].tolist(), found["embeddings"], strict=True))
        missing = [path for path in files if str(path) not in known]
        if missing:
            encoded = encode_files(encoder, missing, **options)
            assert encoded.paths == missing
            known |= zip(map(str, missing), encoded.embeddings, strict=True)
            np.savez(kept, paths=np.array(list(known)), embeddings=np.stack(list(known.values())))
        return known

    return stand_in
