"""Calls to a server: errors of the library, and no token in any of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from sanreid.errors import GalleryError
from sanreid.gallery.milvus.address import Address
from sanreid.utils.extras import require_extra

__all__ = ["Connection"]

PAGE = 2048  # rows asked for at once
MAX_LIMIT = 16_384  # rows that a server returns to one query or search at most
_EXTRA = {"purpose": "A gallery on Milvus", "install": "sanreid[milvus]"}
_opened: dict[str, int] = {}  # files of Milvus Lite, and by how many galleries they are open
_opening = threading.Lock()


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Return False for the calls of the client that Milvus Lite lacks: the client copes."""
    return "Method not implemented!" not in record.getMessage()


class Connection:
    """An open connection.

    Args:
        address: Where to.

    Raises:
        MissingExtraError: The client, or Milvus Lite, is not installed.
        GalleryError: Nobody answers there, or the token is refused.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.library: Any = require_extra("pymilvus", **_EXTRA)
        if address.is_lite:
            require_extra("milvus_lite", **_EXTRA)
            Path(address.uri).parent.mkdir(parents=True, exist_ok=True)
            logging.getLogger("grpc._server").addFilter(_is_of_interest)
        self._errors = (
            self.library.exceptions.MilvusException,
            import_module("grpc").RpcError,
            OSError,
            ValueError,
        )
        self._client: Any = None
        with _opening:
            try:
                self._client = self.library.MilvusClient(
                    uri=address.uri,
                    token=address.token,
                    db_name=address.database,
                    timeout=address.timeout,
                    dedicated=True,
                    **({"ca_pem_path": address.ca} if address.ca else {}),
                )
            except self._errors as error:
                raise self._error("cannot be reached", error) from None
            if address.is_lite:
                _opened[address.uri] = _opened.get(address.uri, 0) + 1

    def __repr__(self) -> str:
        return f"Connection({self.address.shown!r})"

    def call(self, method: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - the client's
        """Call a method of the client.

        Raises:
            GalleryError: The gallery is closed, or the server does not do it.
        """
        if self._client is None:
            raise GalleryError("The gallery is closed; open it again.")
        try:
            return getattr(self._client, method)(
                *args, **{"timeout": self.address.timeout} | options
            )
        except self._errors as error:
            raise self._error(f"failed at {method}", error) from None

    def query(
        self,
        collection: str,
        expression: str,
        fields: tuple[str, ...],
        *,
        limit: int | None = None,
        consistency: str | None = None,
    ) -> list[Any]:
        """Return the rows that an expression selects."""
        options: dict[str, Any] = {} if limit is None else {"limit": limit}
        rows: list[Any] = list(
            self.call(
                "query",
                collection,
                filter=expression,
                output_fields=list(fields),
                consistency_level=consistency or self.address.consistency,
                **options,
            )
        )
        return rows

    def pages(
        self, collection: str, expression: str, fields: tuple[str, ...], *, first: int = 0
    ) -> Iterator[list[Any]]:
        """Yield all selected rows from an id on, by rising id, a page at a time."""
        size = PAGE if "embedding" in fields else 4 * PAGE
        while True:
            chosen = f"id >= {first}"
            if expression:
                chosen = f"{chosen} and ({expression})"
            page = self.query(collection, chosen, fields, limit=size)
            if page:
                page.sort(key=lambda row: int(row["id"]))
                yield page
            if len(page) < size:
                return
            first = int(page[-1]["id"]) + 1

    def close(self) -> None:
        """Close the connection, and Milvus Lite with its last gallery."""
        client, self._client = self._client, None
        if client is None:
            return
        client.close()
        if not self.address.is_lite:
            return
        with _opening:
            _opened[self.address.uri] -= 1
            if not _opened[self.address.uri]:
                del _opened[self.address.uri]
                manager = import_module("milvus_lite.server_manager").server_manager_instance
                manager.release_server(self.address.uri)

    def _error(self, what: str, error: Exception) -> GalleryError:
        reason = getattr(error, "message", "") or str(error) or type(error).__name__
        for secret in {self.address.token, *self.address.token.split(":")} - {""}:
            reason = reason.replace(secret, "...")
        return GalleryError(f"The gallery {self.address.shown} {what}: {reason.splitlines()[0]}")
