from __future__ import annotations

from pathlib import Path

import pytest

from sanreid.errors import InputError
from sanreid.gallery.milvus.address import is_address, parse_address


@pytest.mark.parametrize(
    ("text", "uri", "database", "name"),
    [
        ("milvus://host/people", "http://host:19530", "", "people"),
        ("milvus://host:1/site_a/people", "http://host:1", "site_a", "people"),
        ("milvus+tls://10.0.0.1:443/_p1", "https://10.0.0.1:443", "", "_p1"),
        ("milvus://[::1]:19530/people", "http://[::1]:19530", "", "people"),
    ],
)
def test_servers(text, uri, database, name, monkeypatch):
    monkeypatch.delenv("MILVUS_TOKEN", raising=False)
    for form in (text, Path(text)):  # which takes one of two slashes away
        assert is_address(form)
        address = parse_address(form)
        assert (address.uri, address.database, address.name) == (uri, database, name)
        assert address.token == ""
        assert not address.is_lite


def test_files_of_lite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in (f"milvus-lite://{tmp_path}/a%20b.db", f"milvus-lite:{tmp_path}/a b.db"):
        assert is_address(text)
        address = parse_address(text)
        assert address.uri == str(tmp_path / "a b.db")
        assert (address.name, address.is_lite) == ("gallery", True)
    assert parse_address("milvus-lite:x.db?name=people").name == "people"
    assert parse_address("milvus-lite://x.db").uri == str(tmp_path / "x.db")
    assert parse_address(parse_address("milvus-lite:x.db?name=n").shown).name == "n"


def test_a_token_is_read_and_shown_nowhere(monkeypatch):
    monkeypatch.setenv("MILVUS_TOKEN", "of-the-environment")
    assert parse_address("milvus://host/people").token == "of-the-environment"
    address = parse_address("milvus+tls://ann:s%40cret@host/people?ca=/etc/ca.pem&timeout=3.5")
    assert (address.token, address.ca, address.timeout) == ("ann:s@cret", "/etc/ca.pem", 3.5)
    assert address.shown == "milvus+tls://host:19530/people"
    assert "cret" not in repr(address)
    for token in ("ann:secret", "ann:se/cret", "secret/x", "ann:se?cret", "secret@x/y"):
        for path in ("", "/people", "/site_a/people"):
            if path and "/" not in token and "?" not in token:
                continue  # this one is read
            with pytest.raises(InputError) as raised:
                parse_address(f"milvus://{token}@host{path}")
            assert "cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("milvus://host", "does not name a host and a gallery"),
        ("milvus:///people", "does not name a host"),
        ("milvus://host/a/b/c", "does not name"),
        ("milvus://host/9lives", "begin with no digit"),
        ("milvus://host/a-b", "letters, digits"),
        ("milvus://host/site-a/people", "letters, digits"),
        ("milvus://host/people?tls=1", "unknown options: tls"),
        ("milvus://host/people?ca=x", "this is milvus://"),
        ("milvus://host/people?consistency=none", "one of 'session', 'strong', 'bounded'"),
        ("milvus://host/people?timeout=0", "seconds above 0"),
        ("milvus-lite:/x.sqlite.db?consistency=strong", "unknown options"),
        ("milvus-lite:/x.sqlite", "ends in .db"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_address(text)


@pytest.mark.parametrize("path", ["gallery", "/milvus/x", "./milvus:x", Path("a/b"), None, 3])
def test_what_is_a_path(path):
    assert not is_address(path)
