"""The page of clusters in a real browser: decisions are made, saved, and applied."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from sanreid import Gallery
from sanreid.errors import InputError
from sanreid.viz import write_gallery_page
from tests.people import rendered_person
from tests.viz.hostile import HOSTILE
from tests.viz.test_browse_chromium import browser  # noqa: F401 - a fixture

pytest.importorskip("scipy", reason="the extra cluster is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Four people under three cameras; one crop of person 2 looks like person 1, one is alone."""
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(4)
    centres = np.eye(32)[:6]
    gallery = Gallery(32)
    for person in range(1, 5):
        for camera in range(1, 4):
            path = folder / f"{person}_{camera}.jpg"
            rendered_person(person, camera, size=(128, 64)).save(path)
            looks = 1 if (person, camera) == (2, 3) else person
            gallery.add(
                centres[looks] + rng.normal(0, 0.05, (1, 32)),
                pids=[7] if person == 4 else None,
                camids=[camera],
                metadata=[{"path": str(path)}],
            )
    gallery.add(centres[5:], ids=[2**53 + 1])
    return gallery


@pytest.fixture
def page(browser, gallery, tmp_path):  # noqa: F811 - the fixture
    write_gallery_page(gallery, tmp_path / "page.html", clustering=gallery.cluster(threshold=0.8))
    browser.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    browser.open(tmp_path / "page.html")
    yield browser
    browser.check_quiet()
    browser.run("window.stop()")


def saved(page, folder):
    page.one("#save").click()
    file = folder / "decisions.json"
    for _ in range(200):
        if file.exists() and file.stat().st_size:
            return file
        time.sleep(0.05)
    raise AssertionError("nothing was downloaded")


def members(page):
    ids = page.run(
        "const ids = JSON.parse(document.getElementById('data').textContent).ids;"
        "return [...document.querySelectorAll('.cluster')].map("
        "c => [...c.querySelectorAll('.tile')].map(t => ids[t.dataset.place]))"
    )
    return [sorted(map(int, row)) for row in ids]


def test_clusters_are_rows(page, gallery):
    assert members(page) == [[0, 1, 2, 5], [3, 4], [6, 7, 8], [9, 10, 11], [2**53 + 1]]
    assert page.status() == "4 clusters, 1 alone"
    found = gallery.cluster(threshold=0.8)
    first = page.run("return document.querySelector('.tile').dataset.place")
    assert int(first) == found.medoids[0]
    about = [element.text for element in page.all(".cluster .faint")]
    assert about[0].startswith("4 crops · 3 cameras")
    assert about[3].startswith("person 7 · 3 crops · 3 cameras")
    names = [field.get_attribute("placeholder") for field in page.all("input.name")]
    assert names == ["new person", "new person", "new person", "7", "new person"]
    assert not page.one("#save").is_enabled()
    page.all(".tile")[0].click()
    assert "#0" in page.one("#query").text or page.one("#query").is_displayed()
    page.one("#back").click()
    page.all("#view option")[1].click()
    assert len(page.ids()) == 13
    page.one("#person").send_keys("7")
    page.all("#view option")[0].click()
    assert members(page) == [[9, 10, 11]]


def test_decisions_are_saved_and_applied(page, gallery, tmp_path):
    wrong = page.one('.cluster [data-place="5"]').find_element("xpath", "..")
    wrong.find_element("css selector", ".not").click()
    page.one('[data-place="5"]').find_element("xpath", "..//input").send_keys("bert")
    rows = page.all(".cluster")
    assert rows[0].find_element("css selector", ".same").is_selected()
    rows[0].find_element("css selector", ".name").send_keys("anna")
    rows[1].find_element("css selector", ".name").send_keys("bert")
    rows[2].find_element("css selector", ".same").click()
    rows[4].find_element("css selector", ".name").send_keys("7")
    assert page.one("#save").text == "Save decisions (4)"
    file = saved(page, tmp_path)
    content = json.loads(file.read_text())
    assert {"name": "bert", "ids": [5]} in content["decisions"]
    assert {"name": 7, "ids": [2**53 + 1]} in content["decisions"]
    copy = Gallery(32)
    entries = gallery.get(gallery.ids)
    copy.add(
        np.stack([entry.embedding for entry in entries]),
        pids=[entry.pid for entry in entries],
        metadata=[entry.metadata for entry in entries],
        ids=gallery.ids,
    )
    previous = copy.decide(file)
    now = {entry.id: entry.pid for entry in copy.get(copy.ids)}
    assert [now[number] for number in (0, 1, 2)] == ["anna"] * 3
    assert [now[number] for number in (3, 4, 5)] == ["bert"] * 3
    assert [now[number] for number in (6, 7, 8)] == [8] * 3
    assert now[2**53 + 1] == 7
    copy.assign(previous)
    assert copy.counts("pid") == gallery.counts("pid")


def test_keys_and_undoing(page):
    from selenium.webdriver.common.keys import Keys

    page.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, "x")
    assert [button.text for button in page.all('.not[aria-pressed="true"]')] == ["someone else"]
    assert page.one("#save").text == "Save decisions (1)"
    assert page.run("return document.activeElement.className.includes('wrong')")
    page.press("x")
    page.one(".same").click()
    assert not page.one("#save").is_enabled()
    page.one("#doubtful").click()
    assert page.status().startswith(("No cluster fits", "1 cluster, 0 alone"))
    page.one("#reset").click()
    assert page.status() == "4 clusters, 1 alone"


def test_light_and_dark_and_narrow(page):
    page.one('.cluster [data-place="5"]').find_element("xpath", "..//button[2]").click()
    pictures = []
    for theme in ("light", "dark"):
        page.theme(theme)
        pictures.append(page.look())
    page.theme("light")
    assert pictures[0][:60, 600:].mean() > 230
    assert pictures[1][:60, 600:].mean() < 60
    try:
        page.driver.set_window_size(360, 800)
        sizes = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
        inside, window = page.run(sizes)
        assert inside <= window
    finally:
        page.driver.set_window_size(1200, 900)


def test_hostile_names_do_nothing(browser, tmp_path):  # noqa: F811 - the fixture
    gallery = Gallery(16)
    rows = np.repeat(np.eye(16)[: len(HOSTILE)], 2, axis=0)
    texts = [text for text in HOSTILE for _ in range(2)]
    gallery.add(rows, pids=texts, metadata=[{"path": text} for text in texts])
    write_gallery_page(gallery, tmp_path / "page.html", clustering=gallery.cluster())
    browser.open(tmp_path / "page.html")
    assert len(browser.all(".cluster")) == len(HOSTILE)
    for field in browser.all("input.name"):
        field.send_keys("</script><b>'\"\\")
    browser.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    gallery.decide(saved(browser, tmp_path))
    assert gallery.counts("pid") == {"</script><b>'\"\\": 2 * len(HOSTILE)}
    browser.check_quiet()


def test_another_clustering_is_refused(gallery, tmp_path):
    from sanreid import cluster_identities

    found = cluster_identities(np.eye(4))
    with pytest.raises(InputError, match=r"must be what gallery.cluster\(\) returned"):
        write_gallery_page(gallery, tmp_path / "page.html", clustering=found)
    assert not (tmp_path / "page.html").exists()
