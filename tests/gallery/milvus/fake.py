"""A server in a dict, behind the client's names, for tests that need no server.

It reads expressions as Python does, which has the same words, and is strict where servers differ:
to compare the order key of a row that has none is an error.
"""

from __future__ import annotations

import functools
import types

import numpy as np


class MilvusError(Exception):
    """What the fake server raises."""


class Hit(dict):
    """A row found, with its similarity."""


class Schema:
    """Fields as they are added."""

    def __init__(self):
        self.fields = []

    def add_field(self, name, kind, **params):
        self.fields.append({"name": name, "params": params})


class IndexParams:
    """The one index that was described."""

    def add_index(self, field, *, index_type, metric_type, params):
        self.index_type = index_type


class FakeClient:
    """Collections shared by all clients of one address; ``noise`` disturbs similarities."""

    servers: dict = {}  # noqa: RUF012 - shared on purpose
    noise = 0.0
    fails: dict = {}  # noqa: RUF012 - method: how many calls until it fails

    def __init__(self, uri, **options):
        if "nowhere" in uri:
            raise MilvusError(f"cannot connect with {options['token']}")
        self.options = options
        self.collections = self.servers.setdefault(uri, {})
        self.calls = []

    create_schema = staticmethod(lambda **_: Schema())
    prepare_index_params = staticmethod(IndexParams)

    def __getattribute__(self, name):
        member = super().__getattribute__(name)
        fails = FakeClient.fails
        if name in fails:
            fails[name] -= 1
            if fails[name] < 0:
                raise MilvusError(f"{name} is out of order")
        return member

    def has_collection(self, name, timeout):
        return name in self.collections

    def create_collection(self, name, *, schema, index_params, consistency_level, timeout):
        fields = schema.fields
        key = next(field["name"] for field in fields if "is_primary" in field["params"])
        self.collections[name] = types.SimpleNamespace(
            fields=fields, key=key, rows={}, index=index_params.index_type, loaded=True
        )

    def describe_collection(self, name, timeout):
        return {"fields": self.collections[name].fields}

    def load_collection(self, name, timeout):
        self.collections[name].loaded = True

    def release_collection(self, name, timeout):
        self.collections[name].loaded = False

    def drop_index(self, name, field, timeout):
        assert not self.collections[name].loaded
        self.collections[name].index = None

    def create_index(self, name, params, timeout):
        self.collections[name].index = params.index_type

    def describe_index(self, name, field, timeout):
        return {"index_type": self.collections[name].index}

    def get_server_version(self, timeout):
        return "fake"

    def insert(self, name, rows, timeout):
        held = self.collections[name]
        assert not held.rows.keys() & {row[held.key] for row in rows}, "a server would keep both"
        held.rows |= {row[held.key]: dict(row) for row in rows}

    def upsert(self, name, rows, timeout):
        held = self.collections[name]
        held.rows |= {row[held.key]: dict(row) for row in rows}

    def delete(self, name, *, filter, timeout):  # noqa: A002 - the client's name
        held = self.collections[name]
        for row in self._selected(name, filter):
            del held.rows[row[held.key]]

    def query(self, name, *, filter, output_fields, consistency_level, timeout, limit=None):  # noqa: A002
        found = self._selected(name, filter)
        if output_fields == ["count(*)"]:
            return [{"count(*)": len(found)}]
        assert len(found) <= 16_384 or limit is not None
        return [{field: row[field] for field in output_fields} for row in found[:limit]]

    def search(
        self, name, *, data, filter, limit, output_fields, search_params,  # noqa: A002
        consistency_level, timeout,
    ):  # fmt: skip
        assert 1 <= limit <= 16_384
        found = self._selected(name, filter)
        self.calls.append((len(data), limit))
        rng = np.random.default_rng(0)
        answers = []
        for query in data:
            near = [float(np.dot(query, row["embedding"])) for row in found]
            near = np.array(near) + self.noise * rng.uniform(-1, 1, len(near))
            order = np.argsort(-near)[:limit].tolist()
            answers.append([Hit(distance=near[at], entity=found[at]) for at in order])
        return answers

    def close(self):
        pass

    def _selected(self, name, expression):
        held = self.collections[name]
        assert held.loaded
        rows = [held.rows[key] for key in sorted(held.rows)]
        return [row for row in rows if not expression or evaluate(expression, row)]


def evaluate(expression, row):
    """Return whether a row matches an expression."""
    names = {
        "array_contains": lambda terms, one: one in terms,
        "array_contains_any": lambda terms, some: any(one in terms for one in some),
    }
    verdict = eval(_code(expression), {"__builtins__": {}}, names | row)
    assert isinstance(verdict, bool)
    return verdict


@functools.lru_cache(maxsize=64)
def _code(expression):
    return compile(expression, "expression", "eval")


def library():
    """Return what stands for the client's package."""
    kinds = types.SimpleNamespace(
        INT64=1, FLOAT_VECTOR=2, VARCHAR=3, ARRAY=4, JSON=5
    )  # fmt: skip
    return types.SimpleNamespace(
        MilvusClient=FakeClient,
        DataType=kinds,
        exceptions=types.SimpleNamespace(MilvusException=MilvusError),
    )
