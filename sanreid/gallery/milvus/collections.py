"""The two collections of a gallery: its entries, and its settings beside them."""

from __future__ import annotations

from typing import Any

from sanreid.errors import GalleryError
from sanreid.gallery.milvus.connection import Connection
from sanreid.gallery.milvus.rows import MAX_TERMS, MAX_TEXT
from sanreid.utils.arguments import check_choice

__all__ = ["EXACT", "as_kind", "check_entries", "create_entries", "create_texts", "index_in_use"]

EXACT = "FLAT"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "flat": (EXACT, {}),
    "ivf": ("IVF_FLAT", {"nlist": 1024}),
    "ivf-sq8": ("IVF_SQ8", {"nlist": 1024}),
    "hnsw": ("HNSW", {"M": 32, "efConstruction": 200}),
    "diskann": ("DISKANN", {}),
}
_METRIC = "IP"  # of rows of norm 1: the cosine


def as_kind(index: str) -> str:
    """Return a kind of index that Milvus has, or "auto".

    Raises:
        InputError: Another one.
    """
    check_choice(index, "index of a gallery on Milvus", ("auto", *KINDS))
    return index


def create_entries(connection: Connection, name: str, dim: int, index: str) -> None:
    """Create the collection of entries."""
    kinds = connection.library.DataType
    schema = connection.library.MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=f"sanreid gallery, dim {dim}"
    )
    schema.add_field("id", kinds.INT64, is_primary=True)
    schema.add_field("embedding", kinds.FLOAT_VECTOR, dim=dim)
    schema.add_field("pid", kinds.VARCHAR, max_length=MAX_TEXT)
    schema.add_field("person", kinds.VARCHAR, max_length=32)
    schema.add_field("camid", kinds.INT64)
    schema.add_field("seconds", kinds.INT64)
    schema.add_field("metadata", kinds.VARCHAR, max_length=MAX_TEXT)
    schema.add_field(
        "terms",
        kinds.ARRAY,
        element_type=kinds.VARCHAR,
        max_length=32,
        max_capacity=MAX_TERMS,
    )
    schema.add_field("orders", kinds.JSON)
    connection.call(
        "create_collection",
        name,
        schema=schema,
        index_params=index_parameters(connection, "flat" if index == "auto" else index),
        consistency_level=connection.address.consistency,
    )


def create_texts(connection: Connection, name: str) -> None:
    """Create the collection of settings: named texts. Milvus wants a vector in every row."""
    kinds = connection.library.DataType
    schema = connection.library.MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description="settings of a sanreid gallery"
    )
    schema.add_field("key", kinds.VARCHAR, max_length=64, is_primary=True)
    schema.add_field("text", kinds.VARCHAR, max_length=MAX_TEXT)
    schema.add_field("embedding", kinds.FLOAT_VECTOR, dim=2)
    connection.call(
        "create_collection",
        name,
        schema=schema,
        index_params=index_parameters(connection, "flat"),
        consistency_level="Strong",
    )


def index_parameters(connection: Connection, kind: str) -> Any:  # noqa: ANN401 - the client's
    """Return the client's description of an index."""
    index_type, parameters = KINDS[kind]
    described = connection.library.MilvusClient.prepare_index_params()
    described.add_index("embedding", index_type=index_type, metric_type=_METRIC, params=parameters)
    return described


def check_entries(connection: Connection, name: str) -> int:
    """Return the dim of an existing collection of entries.

    Raises:
        GalleryError: It is something else.
    """
    described = connection.call("describe_collection", name)
    fields = {field["name"]: field for field in described["fields"]}
    wanted = {
        "id",
        "embedding",
        "pid",
        "person",
        "camid",
        "seconds",
        "metadata",
        "terms",
        "orders",
    }
    if set(fields) != wanted:
        raise GalleryError(
            f"The collection {connection.address.shown} is not a sanreid gallery: it has the "
            f"fields {', '.join(sorted(fields))}."
        )
    return int(fields["embedding"]["params"]["dim"])


def index_in_use(connection: Connection, name: str) -> str:
    """Return Milvus's name for the kind of a collection's index."""
    return str(connection.call("describe_index", name, "embedding")["index_type"])
