"""The browsable page as a file: valid, safe, complete, within the requested size."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
from PIL import Image

from sanreid import Gallery
from sanreid.errors import InputError
from sanreid.viz import write_gallery_page
from sanreid.viz.browse import content, page
from tests.people import rendered_person
from tests.viz.hostile import HOSTILE, parsed


def block(tree, name):
    (element,) = (one for one in tree.iter("script") if one.get("id") == name)
    return element.text or ""


def numbers(tree, name, dtype):
    return np.frombuffer(base64.b64decode(block(tree, name)), dtype)


@pytest.fixture
def crops(tmp_path):
    paths = []
    for person in range(1, 7):
        paths.append(str(tmp_path / f"{person}.jpg"))
        rendered_person(person, size=(256, 128)).save(paths[-1])
    return paths


@pytest.fixture
def gallery(crops):
    rng = np.random.default_rng(0)
    gallery = Gallery(16)
    gallery.add(
        rng.standard_normal((12, 16)),
        pids=[7, "7", None] * 4,
        camids=[1, 2, None] * 4,
        timestamps=[1.5, None] * 6,
        metadata=[{"path": crops[i % 6]} if i else {"path": "gone.jpg", "floor": 2}
                  for i in range(12)],
    )  # fmt: skip
    return gallery


def written(gallery, path, **options):
    result = write_gallery_page(gallery, path, progress=False, **options)
    text = path.read_text(encoding="utf-8")
    assert result.size_bytes == len(text.encode())
    return result, text, parsed(text)


@pytest.mark.parametrize("camids", [[1, 2, None], ["hall", "yard", None]])
def test_a_page_compares_as_the_gallery_does(gallery, tmp_path, camids):
    gallery.update(gallery.ids, camids=camids * 4)
    gallery.normalize_cameras()
    _, _, tree = written(gallery, tmp_path / "page.html")
    codes = numbers(tree, "vectors", np.int8).reshape(12, 16).astype(np.float32)
    rows = codes * numbers(tree, "factors", np.float32)[:, None]
    (first,) = gallery.get(0)
    found = gallery.search(first.embedding, 12, query_camids=camids[:1], same_camera="keep")
    order = found.ids[0]
    np.testing.assert_allclose(rows[order] @ rows[0], found.similarities[0], atol=0.02)
    raw = np.stack([entry.embedding for entry in gallery.get(order)]) @ first.embedding
    assert not np.allclose(raw, found.similarities[0], atol=0.05)


def test_a_page_contains_every_entry(gallery, tmp_path):
    gallery.remove([3])
    result, _, tree = written(gallery, tmp_path / "page.html", title="Mine & <yours>")
    assert (result.entries, result.pictures, result.exact) == (11, 10, True)
    data = json.loads(block(tree, "data"))
    assert data["ids"] == [str(number) for number in gallery.ids]
    assert data["people"] == ["7", "7"]
    assert data["pids"][:4] == [0, 1, None, 1]
    assert data["camids"][:3] == [1, 2, None]
    assert data["times"][:2] == [1.5, None]
    assert data["notes"][:2] == ['{"floor": 2}', ""]
    assert data["threshold"] is None
    assert data["qualities"] is None
    (title,) = tree.iter("title")
    assert title.text == "Mine & <yours>"
    pictures = json.loads(block(tree, "pictures"))
    assert pictures[0] == ""
    assert base64.b64decode(pictures[1])[:2] == b"\xff\xd8"
    assert "".join(tree.itertext()).count("10 of 11 entries have a picture") == 1


def test_eight_bit_codes_preserve_similarities():
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((200, 512)) * (
        rng.random((200, 512)) < 0.3
    )  # many zeros, as after a ReLU
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    codes, factors = content.quantised(rows)
    again = codes.astype(np.float32) * factors[:, None]
    assert codes.dtype == np.int8
    assert np.abs(again @ again.T - rows @ rows.T).max() < 0.005
    zero, factor = content.quantised(np.zeros((1, 3), np.float32))
    assert not zero.any()
    assert np.isfinite(factor).all()


def test_the_page_contains_the_codes(gallery, tmp_path):
    _, _, tree = written(gallery, tmp_path / "page.html")
    rows = np.stack([entry.embedding for entry in gallery.get(gallery.ids)])
    codes, factors = content.quantised(rows)
    assert np.array_equal(numbers(tree, "vectors", "<i1").reshape(12, 16), codes)
    assert np.array_equal(numbers(tree, "factors", "<f4"), factors)


def test_a_large_gallery_stores_neighbours(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_MOST_VECTOR_BYTES", 100)
    gallery.remove([2])
    result, _, tree = written(gallery, tmp_path / "page.html", where={"id": {"$lt": 11}})
    assert not result.exact
    ids = [number for number in gallery.ids.tolist() if number < 11]
    rows = {entry.id: entry.embedding for entry in gallery.get(ids)}
    neighbours = numbers(tree, "vectors", "<i4").reshape(len(ids), content.NEIGHBOURS)
    cosines = numbers(tree, "factors", "<i2").reshape(neighbours.shape) / 32767
    for index, number in enumerate(ids):
        others = [(float(rows[number] @ rows[other]), -other) for other in ids if other != number]
        expected = [-other for _, other in sorted(others, reverse=True)]
        assert [ids[near] for near in neighbours[index] if near >= 0] == expected
        found = cosines[index][: len(expected)]
        np.testing.assert_allclose(found, sorted((c for c, _ in others), reverse=True), atol=1e-4)


@pytest.mark.parametrize("pictures", ["embed", "link", "none"])
def test_hostile_texts_are_escaped(pictures, crops, tmp_path):
    gallery = Gallery(4)
    gallery.add(
        np.random.default_rng(0).standard_normal((len(HOSTILE), 4)),
        pids=HOSTILE,
        metadata=[{"path": text, text[:80]: [text]} for text in HOSTILE],
    )
    for title in HOSTILE:
        _, text, tree = written(gallery, tmp_path / "p.html", title=title, pictures=pictures)
        tags = sorted(str(element.tag) for element in tree.iter())
        assert tags.count("script") == 5
        assert tags.count("img") == tags.count("svg") == 0
        names = {name for element in tree.iter() for name in element.attrib}
        assert not [name for name in names if name.startswith("on") or name in ("src", "href")]
        for sign in ("\u2028", "\u2029", "\x00", "\x1b"):
            assert sign not in text
        assert json.loads(block(tree, "data"))["people"] == HOSTILE
        assert json.loads(block(tree, "pictures")) == [""] * len(HOSTILE)


def test_only_the_scripts_of_the_page_may_run(gallery, tmp_path):
    _, text, tree = written(gallery, tmp_path / "page.html")
    (policy,) = (
        element.get("content")
        for element in tree.iter("meta")
        if element.get("http-equiv") == "Content-Security-Policy"
    )
    script = [one.text for one in tree.iter("script") if one.get("type") is None]
    style = [one.text for one in tree.iter("style")]
    assert f"script-src '{page._digest(script[0])}'" in policy
    assert f"style-src '{page._digest(style[0])}'" in policy
    assert "default-src 'none'; img-src data:;" in policy
    assert not re.search(r"https?://", text)


def test_links_are_relative_and_safe(tmp_path):
    strange = tmp_path / "crops" / 'javascript:a b"<&#?%é.jpg'
    strange.parent.mkdir()
    rendered_person(1, size=(64, 32)).save(strange)
    gallery = Gallery(2)
    gallery.add(np.eye(2), metadata=[{"path": str(strange)}, {"path": str(tmp_path / "gone.jpg")}])
    (tmp_path / "pages").mkdir()
    _, _, tree = written(gallery, tmp_path / "pages" / "page.html", pictures="link")
    assert json.loads(block(tree, "pictures")) == [
        "./../crops/javascript%3Aa%20b%22%3C%26%23%3F%25%C3%A9.jpg",
        "",
    ]
    assert content.linked(gallery.get([1]), tmp_path / "p.html") == [""]
    for path in (7, "a" * 5000, "nul\x00", "", str(tmp_path)):
        assert content._address(path, tmp_path / "p.html") == ""


def test_pictures_stay_within_the_size_budget(tmp_path):
    noise = tmp_path / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (256, 128, 3), np.uint8)
    Image.fromarray(pixels).save(noise)
    gallery = Gallery(2)
    gallery.add(np.ones((50, 2)), metadata=[{"path": str(noise)}] * 50)
    sizes = []
    for budget in (10_000_000, 150_000, 20_000, 0):
        result, _, tree = written(gallery, tmp_path / "page.html", picture_bytes=budget)
        pictures = [text for text in json.loads(block(tree, "pictures")) if text]
        assert sum(map(len, pictures)) <= budget
        assert result.pictures == len(pictures)
        sizes.append((len(pictures), len(pictures[0]) if pictures else 0))
    assert sizes[0][0] == 50
    assert 0 < sizes[2][0] < 50  # the smallest size, and still not enough for all
    assert sizes[0][1] > sizes[1][1] > sizes[2][1]
    assert sizes[3] == (0, 0)


def test_an_empty_gallery_has_a_page(tmp_path):
    result, _, tree = written(Gallery(3), tmp_path / "page.html")
    assert (result.entries, result.pictures) == (0, 0)
    assert "0 entries, 0 people, 0 cameras" in "".join(tree.itertext())


def test_the_name_of_a_stored_gallery_is_the_title(gallery, tmp_path):
    gallery.save(tmp_path / "people.gallery")
    with Gallery.open(tmp_path / "people.gallery", mode="r") as stored:
        _, _, tree = written(stored, tmp_path / "page.html", pictures="none")
    assert [title.text for title in tree.iter("title")] == ["people.gallery"]


def test_wrong_options_write_nothing(gallery, tmp_path, monkeypatch):
    for path, options, message in (
        ("page.txt", {}, r"written as \.html; got"),
        (
            "page.html",
            {"pictures": "all"},
            "pictures must be one of 'embed', 'link', 'none'; got 'all'",
        ),
        ("page.html", {"picture_bytes": -1}, "at least 0; got -1"),
        (
            "page.html",
            {"picture_bytes": None},
            "picture_bytes must be an int of at least 0; got None",
        ),
    ):
        with pytest.raises(InputError, match=message):
            write_gallery_page(gallery, tmp_path / path, **options)
    monkeypatch.setattr(page, "_MOST_ENTRIES", 11)
    with pytest.raises(InputError, match=r"12 entries are more than a page can hold \(11\)"):
        write_gallery_page(gallery, tmp_path / "page.html")
    with pytest.raises(InputError, match="no/page.html: No such file or directory"):
        write_gallery_page(gallery, tmp_path / "no" / "page.html", where={"id": 1})
    assert not list(tmp_path.glob("*.html"))


def test_qualities_of_the_entries(tmp_path):
    gallery = Gallery(4)
    given = [0.25, 1, None, "high", True, 1.5]
    gallery.add(np.eye(6, 4) + 1, metadata=[{"quality": one} for one in given])
    _, _, tree = written(gallery, tmp_path / "page.html", pictures="none")
    assert json.loads(block(tree, "data"))["qualities"] == [0.25, 1, None, None, None, None]
