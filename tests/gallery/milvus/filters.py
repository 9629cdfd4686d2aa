"""Random rows of every kind of value, and random filters about them."""

from __future__ import annotations

import random

VALUES = [
    None, True, False, 0, 1, -1, 7, 1.0, 1.5, -0.0, 2**53, 2**53 + 1, float(2**53), 2**63,
    -(2**64), 10**30, 1e30, 1e308, -1e-308, 0.1, "", "a", "7", "ab", 'q"uo\'te', "\\", "x" * 40,
    "x" * 40 + "y", "größe", "\U0001f600", "] or true or [", "2026-11-29T05:00:00+00:00",
]  # fmt: skip
KEYS = ["n", "s", "a", "a.b", "pid", 'k"] or (1', "größe"]
OPERATORS = ["$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte"]


def random_metadata(rng):
    metadata = {key: rng.choice(VALUES) for key in rng.sample(KEYS, rng.randrange(4))}
    if rng.random() < 0.2:
        metadata["a"] = {"b": rng.choice(VALUES), "c": {"d": rng.choice(VALUES)}}
    if rng.random() < 0.1:
        metadata[rng.choice(KEYS)] = [1, "a"]
    return metadata or None


def random_columns(rng, count):
    return {
        "pids": [rng.choice([None, 0, 1, 7, "7", "a", "x" * 50, 2**62, -1]) for _ in range(count)],
        "camids": [rng.choice([None, 0, 1, 2, -3, 2**63 - 1]) for _ in range(count)],
        "timestamps": [rng.choice([None, 0.0, -1.5, 1e9, 1.7e9, 1e300]) for _ in range(count)],
        "metadata": [random_metadata(rng) for _ in range(count)],
    }


def random_leaf(rng):
    field = rng.choice(["id", "pid", "camid", "timestamp", "metadata.pid", *KEYS, "a.c.d", "no"])
    operators = rng.sample(OPERATORS, rng.choice([1, 1, 2]))
    return {field: {operator: random_operand(rng, operator) for operator in operators}}


def random_operand(rng, operator):
    if operator in ("$in", "$nin"):
        return [rng.choice(VALUES) for _ in range(rng.randrange(4))]
    while True:
        value = rng.choice([*VALUES, float("inf"), 2, 25, -3, 1e9])
        if operator in ("$eq", "$ne") or not (value is None or isinstance(value, bool)):
            return value


def random_filter(rng, depth=3):
    draw = rng.random()
    if depth == 0 or draw < 0.4:
        return random_leaf(rng)
    if draw < 0.6:
        return {"$not": random_filter(rng, depth - 1)}
    parts = [random_filter(rng, depth - 1) for _ in range(rng.randrange(1, 4))]
    return {rng.choice(["$and", "$or"]): parts}


def rng_of(seed):
    return random.Random(seed)
