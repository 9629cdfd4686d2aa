"""The gallery commands at an address on Milvus, with a server in a dict."""

from __future__ import annotations

import shutil

import pytest

from sanreid.encoder import SANEncoder
from sanreid.gallery import Gallery
from tests.gallery.milvus.conftest import fake_server  # noqa: F401 - a fixture

ADDRESS = "milvus://ann:secret@host/people"
SHOWN = "milvus://host:19530/people"


@pytest.fixture
def built(run, fake_server, people, tiny):  # noqa: F811 - the fixture
    status, out, err = run("gallery", "build", people, ADDRESS, "--weights", tiny)
    assert (status, err) == (0, "")
    assert out == f"{SHOWN}: 16 added (4 people by their file names), 16 entries\n"
    return fake_server


def test_from_build_to_removal(run, run_json, built, people, tiny, tmp_path):
    query = min(people.iterdir())
    command = ("gallery", "search", ADDRESS, query, "--weights", tiny, "-k", 2)
    ((first, _),) = [row["hits"] for row in run_json(*command)]
    assert first["similarity"] == pytest.approx(1, abs=1e-5)
    assert (first["pid"], first["metadata"]["path"]) == (1, str(query))
    identify = ("gallery", "identify", ADDRESS, query, "--weights", tiny, "--threshold", 0.5)
    assert run_json(*identify)[0]["pid"] == 1
    stats = run_json("gallery", "info", ADDRESS)
    assert (stats["entries"], stats["path"]) == (16, SHOWN)
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy(query, more / "0009_c1_1.jpg")
    added = run_json("gallery", "add", people, more, ADDRESS, "--weights", tiny, "--new-only")
    assert (added["path"], added["added"], added["entries"]) == (SHOWN, 1, 17)
    removed = run_json("gallery", "remove", ADDRESS, "--where", '{"pid": {"$lt": 9}}')
    assert removed == {"path": SHOWN, "removed": 16, "entries": 1}
    page = tmp_path / "page.html"
    for status, out, err in (
        run("gallery", "browse", ADDRESS, "-o", page),
        run("gallery", "normalize-cameras", ADDRESS, "--off"),
    ):
        assert status == 0, err
        assert "secret" not in out + err
    assert "secret" not in page.read_text()


def test_what_a_server_cannot_do_is_said(run, built, people, tiny):
    for action, wanted in (
        (("verify", ADDRESS), f"{SHOWN} cannot be verified"),
        (("build", people, ADDRESS, "--weights", tiny), f"{SHOWN} has 16 entries already"),
        (("build", people, ADDRESS, "--overwrite"), "on Milvus remove its entries first"),
        (("info", "milvus://ann:secret@host/other"), "There is no gallery at milvus://host"),
        (
            ("remove", "milvus://ann:secret@host/other", 1),
            "There is no gallery at milvus://host:19530/other. Make one with 'sanreid gallery bu",
        ),
    ):
        status, out, err = run("gallery", *action)
        assert (status, out) == (1, "")
        assert wanted in err
        assert "secret" not in err


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("milvus://host/people", "'sanreid gallery compact' erases them"),
        ("milvus-lite:///people.db", "Milvus Lite decides itself"),
    ],
)
def test_what_removing_leaves_is_said(run, monkeypatch, address, wanted):
    gallery = Gallery(2)
    gallery.add([[1.0, 0.0]])
    monkeypatch.setattr(Gallery, "open", lambda path: gallery)
    status, out, _ = run("gallery", "remove", address, 0)
    assert status == 0
    assert f": 1 removed, 0 entries; {wanted}" in out


def test_an_interrupted_build_is_resumed_by_add(run, fake_server, people, tiny, monkeypatch):  # noqa: F811
    real, calls = SANEncoder.encode_files, []

    def encode_files(self, files, **options):
        calls.append(files)
        if len(calls) == 2:
            raise MemoryError
        return real(self, files, **options)

    with monkeypatch.context() as patch:
        patch.setattr(SANEncoder, "encode_files", encode_files)
        patch.setattr("sanreid.cli.gallery.resuming._COMMIT_S", 0)
        build = ("gallery", "build", people, ADDRESS, "--weights", tiny, "--batch-size", 2)
        status, out, err = run(*build)
    assert (status, out) == (1, "")
    assert f"kept in {SHOWN}: 'sanreid gallery add --new-only' embeds the rest" in err
    with Gallery.open(ADDRESS, mode="r") as gallery:
        assert len(gallery) == 8
    status, out, _ = run("gallery", "add", people, ADDRESS, "--weights", tiny, "--new-only")
    assert status == 0
    assert "8 added" in out
    assert out.endswith("16 entries\n")


def test_an_address_that_is_none_is_wrong_usage(run, capsys):
    with pytest.raises(SystemExit) as stop:
        run("gallery", "info", "milvus://ann:secret@host")
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert "does not name a host and a gallery" in err
    assert "secret" not in err
