"""The definition of a gallery search, in loops and float64, for tests to compare with."""

from __future__ import annotations

import numpy as np


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def brute_force(queries, entries, k, *, admits=lambda entry, query: True, least=-2.0):
    """Rank ``entries`` (id, embedding, ...) for each query; rows of (id, similarity)."""
    ranked = []
    for number, query in enumerate(unit(queries)):
        scored = []
        for entry in entries:
            stored = unit([entry["embedding"]])[0]
            dot = sum(float(a) * float(b) for a, b in zip(query, stored, strict=True))
            similarity = float(np.clip(np.float32(dot), -1, 1))
            if admits(entry, number) and similarity >= np.float32(least):
                scored.append((entry["id"], similarity))
        ranked.append(sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k])
    return ranked


def found(result):
    return [[(hit.id, hit.similarity) for hit in hits] for hits in result]


def assert_same(result, expected):
    """Ids agree and similarities agree to float32's last digits."""
    for got, wanted in zip(found(result), expected, strict=True):
        assert [one[0] for one in got] == [one[0] for one in wanted]
        np.testing.assert_allclose(
            [one[1] for one in got], [one[1] for one in wanted], rtol=0, atol=2e-7
        )
