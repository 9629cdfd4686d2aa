"""What each route does, and what it answers to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sanreid.errors import UnsupportedError
from sanreid.gallery import Gallery
from tests.serve.conftest import base64_of, jpeg

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="httpx is not installed (extra dev)")


def test_embed_answers_what_the_encoder_does(client, tiny_encoder):
    pictures = [jpeg(1), jpeg(2, form="PNG")]
    answer = client.post("/embed", json={"images": base64_of(*pictures)}).json()
    np.testing.assert_allclose(answer["embeddings"], tiny_encoder.encode(pictures), atol=1e-6)
    assert answer["fingerprint"] == tiny_encoder.fingerprint
    headers = {"Content-Type": "image/jpeg"}
    one = client.post("/embed", content=pictures[0], headers=headers).json()
    np.testing.assert_allclose(one["embeddings"], answer["embeddings"][:1], atol=1e-6)


def test_enrol_search_identify_forget(client, enrol, tmp_path):
    assert enrol(client, 7, 1, camids=[1], timestamps=[2.5], metadata=[{"gate": "A"}]) == [0]
    assert enrol(client, "anna", 2, camids=[2]) == [1]
    query = {"images": base64_of(jpeg(1), jpeg(2))}

    hits = client.post("/search", json=query | {"k": 1}).json()["hits"]
    assert [row[0]["pid"] for row in hits] == [7, "anna"]
    assert hits[0][0] | {"similarity": 1} == {
        "id": 0, "similarity": 1, "pid": 7, "camid": 1, "timestamp": 2.5,
        "metadata": {"gate": "A"},
    }  # fmt: skip
    (hits,) = client.post(
        "/search", json={"images": base64_of(jpeg(1)), "where": {"camid": 2}}
    ).json()["hits"]
    assert [hit["pid"] for hit in hits] == ["anna"]

    found = client.post("/identify", json=query | {"threshold": 0.9999}).json()["identities"]
    assert [one["pid"] for one in found] == [7, "anna"]
    found = client.post("/identify", json=query | {"threshold": 2}).json()["identities"]
    assert [(one["pid"], one["candidate"]) for one in found] == [(None, 7), (None, "anna")]

    assert client.post("/forget", json={"pid": "anna"}).json() == {"removed": 1}
    hits = client.post("/search", json=query).json()["hits"]
    assert [[hit["pid"] for hit in row] for row in hits] == [[7], [7]]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "people.gallery").iterdir())
    assert b"anna" not in kept
    assert client.post("/forget", json={"ids": [0]}).json() == {"removed": 1}
    (one,) = client.post("/identify", json={"images": base64_of(jpeg(1)), "threshold": 0}).json()[
        "identities"
    ]
    assert one == {
        "pid": None, "similarity": None, "margin": None, "candidate": None, "entry_ids": [],
    }  # fmt: skip


def test_named_cameras_and_travel_times(client, enrol):
    enrol(client, 7, 1, camids=["gate"], timestamps=[100.0])
    enrol(client, 7, 1, camids=["hall"], timestamps=[160.0])
    query = {"images": base64_of(jpeg(1)), "camids": ["roof"], "timestamps": [90.0]}
    (hits,) = client.post("/search", json=query | {"min_gap_s": 30}).json()["hits"]
    assert [hit["camid"] for hit in hits] == ["hall"]
    (hits,) = client.post("/search", json=query | {"max_gap_s": 30}).json()["hits"]
    assert [hit["camid"] for hit in hits] == ["gate"]
    pairs = [
        {"camids": ["roof", "hall"], "seconds": 80},
        {"camids": ["gate", "roof"], "seconds": 5},
    ]
    (hits,) = client.post("/search", json=query | {"min_gap_s": pairs}).json()["hits"]
    assert [hit["camid"] for hit in hits] == ["gate"]
    identify = query | {"min_gap_s": pairs, "threshold": -1}
    (one,) = client.post("/identify", json=identify).json()["identities"]
    assert one["entry_ids"] == [0]
    twice = client.post("/identify", json=identify | {"max_gap_s": pairs + pairs[:1]})
    assert (twice.status_code, twice.json()["error"]["type"]) == (422, "InputError")
    assert "max_gap_s names a pair of cameras twice" in twice.text


def test_one_image_as_it_is_with_fields_as_the_query_string(client, enrol):
    enrol(client, 7, 1, camids=[1])
    enrol(client, 8, 2, camids=[2])
    for kind in ("image/jpeg", "application/octet-stream", "IMAGE/PNG; q=1"):
        answer = client.post(
            "/search",
            params={"k": 1, "where": json.dumps({"camid": 2}), "same_camera": "keep"},
            content=jpeg(1),
            headers={"Content-Type": kind},
        )
        assert [[hit["pid"] for hit in row] for row in answer.json()["hits"]] == [[8]]


def test_an_unfinished_deletion_is_finished_by_the_same_request(client, enrol, monkeypatch):
    enrol(client, "anna")
    with monkeypatch.context() as patch:

        def fail(gallery):
            raise MemoryError

        patch.setattr(Gallery, "compact", fail)
        assert client.post("/forget", json={"pid": "anna"}).status_code == 500
    gallery = client.app.state.service._opened[1]
    assert gallery.stats()["removed_rows"] == 1
    assert client.post("/forget", json={"pid": "anna"}).status_code == 404
    assert gallery.stats()["removed_rows"] == 0


def test_a_store_that_does_not_tell_is_compacted(client, enrol, monkeypatch):
    enrol(client, "anna")
    compacted = []
    monkeypatch.setattr(Gallery, "stats", lambda _: {"removed_rows": None})
    monkeypatch.setattr(Gallery, "compact", lambda _: compacted.append(True))
    for status in (200, 404):
        assert client.post("/forget", json={"pid": "anna"}).status_code == status
    assert len(compacted) == 2


def test_a_storage_that_keeps_a_trace_says_so(client, enrol, monkeypatch, caplog):
    def refuse(gallery):
        raise UnsupportedError("cannot be compacted: see /secret/people.db")

    enrol(client, "anna")
    monkeypatch.setattr(Gallery, "compact", refuse)
    answer = client.post("/forget", json={"pid": "anna"})
    assert (answer.status_code, answer.json()["removed"]) == (200, 1)
    assert "decides itself when their rows leave its files" in answer.json()["trace"]
    assert "secret" not in answer.text
    assert "cannot be compacted" in caplog.text
    assert client.post("/forget", json={"pid": "anna"}).status_code == 404


@pytest.mark.slow
def test_forgetting_on_milvus_lite(client_of, enrol, tmp_path):
    pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
    client = client_of(path=f"milvus-lite://{tmp_path}/people.db", wait=None)
    enrol(client, "anna")
    answer = client.post("/forget", json={"pid": "anna"})
    assert (answer.status_code, answer.json()["removed"]) == (200, 1)
    assert "decides itself" in answer.json()["trace"]
    assert client.post("/search", json={"images": base64_of(jpeg())}).json() == {"hits": [[]]}
    assert client.post("/forget", json={"pid": "anna"}).status_code == 404


def test_readers_see_what_was_acknowledged(client_of, enrol):
    writer, reader = client_of(), client_of(read_only=True)
    query = {"images": base64_of(jpeg(1))}
    assert reader.post("/search", json=query).json() == {"hits": [[]]}
    enrol(writer, "anna")
    (hits,) = reader.post("/search", json=query).json()["hits"]
    assert [hit["pid"] for hit in hits] == ["anna"]
    writer.post("/forget", json={"pid": "anna"})
    assert reader.post("/search", json=query).json() == {"hits": [[]]}
    for route, body in (("/enrol", query | {"pid": 1}), ("/forget", {"pid": 1})):
        answer = reader.post(route, json=body)
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "ReadOnlyError")
    assert [one.get("/health").json()["writable"] for one in (writer, reader)] == [True, False]


def test_an_idle_reader_lets_old_files_go(client_of, enrol, tmp_path):
    proc = Path("/proc/self/fd")
    if not proc.is_dir():
        pytest.skip("needs /proc")
    writer, reader = client_of(), client_of(read_only=True, refresh_s=0.01)
    enrol(writer, "anna")
    writer.post("/forget", json={"pid": "anna"})

    def deleted():
        names = [str(fd.readlink()) for fd in proc.iterdir() if fd.is_symlink()]
        own = [name for name in names if name.startswith(str(tmp_path))]
        return [name for name in own if "(deleted)" in name and ".log" in name]

    for _ in range(1000):
        if not deleted():
            break
        reader.get("/metrics")  # gives the event loop time; looks at nothing on disk
    assert not deleted()


def test_metrics_count_requests_by_route(client, enrol):
    enrol(client, 7)
    client.post("/search", json={"images": base64_of(jpeg(1))})
    client.get("/wp-login.php")
    client.get("/%22x%0a")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    for wanted in (
        'sanreid_requests_total{route="/enrol",status="201"} 1',
        'sanreid_requests_total{route="/search",status="200"} 1',
        'sanreid_requests_total{route="other",status="404"} 2',
        'sanreid_request_seconds_bucket{route="/search",le="+Inf"} 1',
        "sanreid_crops_embedded_total 2",
        "sanreid_entries_added_total 1",
        "sanreid_entries 1",
        "# TYPE sanreid_request_seconds histogram",
    ):
        assert wanted in lines


def test_metrics_count_every_entry(client, monkeypatch):
    monkeypatch.setattr(client.app.state.service, "num_entries", lambda: 1_234_567)
    lines = client.get("/metrics").text.splitlines()
    assert {"sanreid_entries 1234567", "sanreid_writable 1"} <= set(lines)


def test_the_description_names_every_route_and_field(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/embed", "/search", "/identify", "/enrol", "/forget", "/health", "/metrics",
    }  # fmt: skip
    search = described["paths"]["/search"]["post"]
    assert {one["name"] for one in search["parameters"]} >= {"k", "where", "min_similarity"}
    fields = search["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"images", "k", "where"} <= set(fields)
    assert "413" in search["responses"]
    assert client.get("/docs").status_code == 200


def test_stopping_closes_the_gallery(client_of, tmp_path, enrol):
    client = client_of()
    enrol(client, 7)
    client.app.state.service.stop()
    with Gallery.open(tmp_path / "people.gallery") as gallery:
        assert len(gallery) == 1
    answer = client.post("/embed", json={"images": base64_of(jpeg(1))})
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "GalleryError")
    assert client.get("/health").status_code == 503
