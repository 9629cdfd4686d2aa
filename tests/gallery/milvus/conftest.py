from __future__ import annotations

import pytest

from sanreid.gallery.milvus import connection
from tests.gallery.milvus import fake


@pytest.fixture
def fake_server(monkeypatch):
    """A server behind any address, empty, without noise or failures."""
    monkeypatch.setattr(connection, "require_extra", lambda *_, **__: fake.library())
    monkeypatch.setattr(fake.FakeClient, "servers", {})
    monkeypatch.setattr(fake.FakeClient, "fails", {})
    return fake.FakeClient
