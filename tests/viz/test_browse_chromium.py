"""The browsable page in a real browser: opened as a file, clicked, typed into, rendered."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from sanreid import Gallery
from sanreid.viz import write_gallery_page
from sanreid.viz.browse import page
from tests.people import rendered_person
from tests.viz.hostile import HOSTILE

pytestmark = pytest.mark.slow
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1200,900",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("there is no chromium with its chromedriver on this machine")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield Browser(driver)
    driver.quit()


class Browser:
    """A page opened in the browser."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, *, fragment=""):
        self.driver.get("about:blank")
        self.driver.get(f"{path.as_uri()}{fragment}")

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def run(self, script):
        return self.driver.execute_script(script)

    def ids(self):
        """Return the entries in the grid, in order."""
        ids = self.run(
            "const ids = JSON.parse(document.getElementById('data').textContent).ids;"
            "return [...document.querySelectorAll('.tile')].map(t => ids[t.dataset.place])"
        )
        return [int(number) for number in ids]

    def similarities(self):
        first = [element.text for element in self.all(".tile .first")]
        return [float(text.split()[0]) for text in first]

    def status(self):
        return self.one("#status").text

    def press(self, *keys):
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def look(self):
        return np.asarray(Image.open(io.BytesIO(self.driver.get_screenshot_as_png())), np.float32)

    def theme(self, name):
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def check_quiet(self):
        """Check that nothing failed, nothing was fetched and no text ran as a script."""
        assert self.driver.get_log("browser") == []
        assert self.run("return performance.getEntriesByType('resource').length") == 0
        assert self.run("return window.hacked") is None


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Eight people under four cameras; some neighbours are other people."""
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((9, 32))
    gallery = Gallery(32)
    for person in range(1, 9):
        for camera in range(1, 5):
            path = folder / f"{person}_{camera}.jpg"
            rendered_person(person, camera, size=(128, 64)).save(path)
            gallery.add(
                centres[person] + rng.normal(0, 0.8, (1, 32)),
                pids=[person],
                camids=[camera],
                timestamps=[1.7e9],
                metadata=[{"path": str(path), "floor": camera, "quality": person / 10}],
            )
    gallery.add(rng.standard_normal((1, 32)), metadata=[{"path": "gone.jpg"}])
    rows = np.stack([entry.embedding for entry in gallery.get(range(32))])
    gallery.calibrate(rows, np.repeat(np.arange(8), 4), false_match_rate=0.05)
    return gallery


@pytest.fixture(scope="module")
def written(gallery, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "people #1.html"
    write_gallery_page(gallery, path, title="People")
    return path


@pytest.fixture
def opened(browser, written):
    browser.open(written)
    yield browser
    browser.check_quiet()


def expected(gallery, entry, **options):
    (asked,) = gallery.get([entry])
    hits = gallery.search(asked.embedding, len(gallery), **options)[0]
    return [hit for hit in hits if hit.id != entry]


def test_all_entries_are_shown(opened, gallery):
    assert opened.driver.title == "People"
    assert opened.one("#summary").text == "33 entries, 8 people, 4 cameras"
    assert opened.ids() == gallery.ids.tolist()
    assert opened.status() == "33 crops"
    assert len(opened.all(".tile img")) == 32
    assert opened.run("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert [element.text for element in opened.all(".gone")] == ["no picture"]
    assert not opened.one("#query").is_displayed()


def test_a_click_searches_by_example(opened, gallery):
    opened.all(".tile")[5].click()
    hits = expected(gallery, 5)
    found = opened.similarities()
    assert len(found) == 32
    np.testing.assert_allclose(found, [hit.similarity for hit in hits], atol=0.011)
    by_id = {hit.id: hit.similarity for hit in hits}
    np.testing.assert_allclose(found, [by_id[number] for number in opened.ids()], atol=0.011)
    marks = [element.get_attribute("class").split()[1:] for element in opened.all(".tile")]
    pid = {hit.id: hit.pid for hit in hits}
    for number, mark in zip(opened.ids(), marks, strict=True):
        known = pid[number] is not None
        assert mark == ([["wrong"], ["right"]][pid[number] == 2] if known else [])
    (rule,) = opened.all(".rule")
    above = rule.find_elements("xpath", "preceding-sibling::li")
    assert len(above) == sum(value >= gallery.calibration.threshold for value in by_id.values())
    words = opened.one("#query").text
    for part in ("#5", "2023-11-14 22:13:20 UTC", '{"floor": 2, "quality": 0.2}', "2_2.jpg"):
        assert part in words
    assert [element.text for element in opened.all("#query dd")][:3] == ["#5", "2", "2"]
    opened.one("#back").click()
    assert len(opened.ids()) == 33


def test_cameras_are_listed_in_order(browser, tmp_path):
    gallery = Gallery(8)
    gallery.add(np.eye(8)[:7], camids=["yard", 10, "door", None, 9, "yard", "none"])
    write_gallery_page(gallery, tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    names = [option.text for option in browser.all("#camera option")]
    assert names == [
        "all", "9 (1)", "10 (1)", "door (1)", "none (1)", "yard (2)", "without a camera (1)"
    ]  # fmt: skip
    browser.all("#camera option")[4].click()
    assert browser.ids() == [6]
    browser.all("#camera option")[6].click()
    assert browser.ids() == [3]
    browser.check_quiet()


def test_filters(opened, gallery):
    opened.all("#camera option")[2].click()
    assert opened.ids() == gallery.find({"camid": 2}).tolist()
    assert opened.status() == "8 crops of 33"
    opened.one("#person").send_keys("3")
    assert opened.ids() == gallery.find({"camid": 2, "pid": 3}).tolist()
    opened.one("#reset").click()
    opened.one("#person").send_keys("nobody")
    assert opened.ids() == [32]
    opened.one("#reset").click()
    opened.one("#person").send_keys("no such person")
    assert opened.status() == "No crop fits. Clear the filters to see more."
    opened.one("#reset").click()
    assert len(opened.ids()) == 33


def test_the_quality_filter(browser, opened, gallery, tmp_path):
    opened.run(
        "const quality = document.getElementById('quality'); quality.value = 0.5;"
        "quality.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert opened.one("#quality-value").text == "0.50"
    assert opened.ids() == gallery.find({"quality": {"$gte": 0.5}}).tolist()
    assert "quality=0.5" in opened.driver.current_url
    opened.one("#reset").click()
    assert len(opened.ids()) == 33
    plain = Gallery(2)
    plain.add(np.eye(2))
    write_gallery_page(plain, tmp_path / "plain.html")
    browser.open(tmp_path / "plain.html")
    assert not browser.one("#by-quality").is_displayed()


def test_a_search_with_other_cameras_and_a_minimum_similarity(opened, gallery):
    opened.all(".tile")[5].click()
    opened.one("#elsewhere").click()
    assert sorted(opened.ids()) == sorted(
        hit.id for hit in expected(gallery, 5, query_camids=[gallery.get([5])[0].camid])
    )
    opened.run(
        "const least = document.getElementById('least'); least.value = 0.3;"
        "least.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert opened.one("#least-value").text == "0.30"
    assert opened.similarities()
    assert min(opened.similarities()) >= 0.295
    opened.one("#reset").click()
    assert "#5" in opened.one("#query").text  # the filters are cleared, the search remains
    assert len(opened.ids()) == 32


def test_the_focused_entry_is_not_hidden_by_the_header(opened):
    from selenium.webdriver.common.keys import Keys

    below = (
        "const tile = document.activeElement.getBoundingClientRect();"
        "return tile.top - document.querySelector('header').getBoundingClientRect().bottom"
    )
    try:
        opened.driver.set_window_size(700, 620)
        opened.press(Keys.ARROW_DOWN, Keys.END)
        for _ in range(6):
            opened.press(Keys.ARROW_UP)
            assert opened.run(below) >= 0
        assert opened.run("return document.activeElement.dataset.place") is not None
    finally:
        opened.driver.set_window_size(1200, 900)


def test_large_ids_stay_distinct(browser, tmp_path):
    gallery = Gallery(2)
    large = 2**53
    gallery.add([[1, 0], [0, 1]], ids=[large, large + 1])
    write_gallery_page(gallery, tmp_path / "page.html")
    browser.open(tmp_path / "page.html", fragment=f"#like={large + 1}")
    assert f"#{large + 1}" in browser.one("#query").text
    assert browser.ids() == [large]
    browser.check_quiet()


def test_keyboard_navigation(opened, gallery):
    from selenium.webdriver.common.keys import Keys

    opened.press(Keys.ARROW_DOWN)
    active = "return Number(document.activeElement.dataset.place)"
    assert opened.run(active) == 0
    opened.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert opened.run(active) == 2
    across = opened.run(
        "const t = [...document.querySelectorAll('.tile')];"
        "return t.filter(x => x.offsetTop === t[0].offsetTop).length"
    )
    opened.press(Keys.ARROW_DOWN)
    assert opened.run(active) == 2 + across
    opened.press(Keys.ARROW_UP, Keys.ARROW_LEFT)
    assert opened.run(active) == 1
    opened.press(Keys.ENTER)
    assert "#1" in opened.one("#query").text
    assert (
        opened.run(active) == expected(gallery, 1)[0].id
    )  # focus on the best hit, ready to continue
    opened.press("o")
    assert opened.one("#elsewhere").is_selected()
    opened.press("o", Keys.ESCAPE)
    assert len(opened.ids()) == 33
    assert opened.run(active) == 1  # back at the previous entry
    opened.press(Keys.END)
    assert opened.run(active) == 32
    opened.press("/")
    opened.press("4", "c", Keys.ESCAPE)
    assert opened.one("#person").get_attribute("value") == ""
    opened.run("document.activeElement.blur()")
    opened.press("c")
    assert opened.run("return document.activeElement.id") == "camera"


def test_the_back_button_and_permanent_links(opened, written):
    opened.all(".tile")[3].click()
    opened.all(".tile")[0].click()
    first = opened.ids()
    opened.driver.back()
    assert "#3" in opened.one("#query").text
    opened.driver.back()
    assert len(opened.ids()) == 33
    opened.driver.forward()
    opened.driver.forward()
    assert opened.ids() == first
    opened.open(written, fragment="#like=3&camera=2&elsewhere=1")
    assert "#3" in opened.one("#query").text
    assert len(opened.ids()) == 8
    opened.open(written, fragment="#like=999&camera=<b>&person=&least=x")
    assert len(opened.ids()) == 33


def test_light_and_dark(opened):
    opened.theme("light")
    light = opened.look()
    opened.theme("dark")
    dark = opened.look()
    opened.theme("light")
    assert light[:60, 600:].mean() > 230
    assert dark[:60, 600:].mean() < 60
    for picture in (light, dark):  # crops are visible in both
        assert picture[200:500].std() > 30


@pytest.mark.parametrize("width", [360, 1600])
def test_narrow_and_wide_windows_need_no_sideways_scrolling(opened, width):
    try:
        opened.driver.set_window_size(width, 800)
        opened.all(".tile")[0].click()
        sizes = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
        inside, window = opened.run(sizes)
        assert inside <= window
    finally:
        opened.driver.set_window_size(1200, 900)


def test_hostile_texts_do_nothing(browser, tmp_path):
    gallery = Gallery(4)
    gallery.add(
        np.random.default_rng(0).standard_normal((len(HOSTILE), 4)),
        pids=HOSTILE,
        metadata=[{"path": text, text[:80]: [text]} for text in HOSTILE],
    )
    for title in HOSTILE[:4]:
        write_gallery_page(gallery, tmp_path / "page.html", title=title)
        browser.open(tmp_path / "page.html")
        assert browser.one("h1").text == " ".join(title.split())
        for index in range(len(HOSTILE)):
            browser.all(".tile")[index].click()
            browser.one("#back").click()
        assert len(browser.ids()) == len(HOSTILE)
        browser.check_quiet()


@pytest.mark.parametrize("entries", [0, 1])
def test_galleries_with_few_entries(browser, tmp_path, entries):
    gallery = Gallery(4)
    gallery.add(np.ones((entries, 4)))
    write_gallery_page(gallery, tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    assert len(browser.all(".tile")) == entries
    assert browser.status() == ["This page is empty.", "1 crop"][entries]
    browser.one("#person").send_keys("x")
    assert browser.status() == [
        "This page is empty.", "No crop fits. Clear the filters to see more."
    ][entries]  # fmt: skip
    browser.one("#reset").click()
    for tile in browser.all(".tile"):
        tile.click()
        assert browser.status() == "There is no other crop."
    browser.check_quiet()


@pytest.mark.parametrize("exact", [True, False])
def test_ten_thousand_entries(browser, tmp_path, monkeypatch, exact):
    from selenium.webdriver.common.keys import Keys

    if not exact:
        monkeypatch.setattr(page, "_MOST_VECTOR_BYTES", 0)
    rng = np.random.default_rng(0)
    gallery = Gallery(32)
    gallery.add(
        rng.standard_normal((10_000, 32)),
        pids=rng.integers(0, 1500, 10_000).tolist(),
        camids=rng.integers(0, 12, 10_000).tolist(),
    )
    result = write_gallery_page(gallery, tmp_path / "page.html")
    assert result.exact == exact
    browser.open(tmp_path / "page.html")
    assert browser.status() == "10,000 crops"
    laid_out = len(browser.all(".tile"))
    assert laid_out < 1000
    browser.press(Keys.ARROW_DOWN, Keys.END, Keys.ARROW_RIGHT)
    assert len(browser.all(".tile")) > laid_out
    browser.all(".tile")[17].click()
    hits = expected(gallery, 17)[:32]
    np.testing.assert_allclose(
        browser.similarities()[:32], [hit.similarity for hit in hits], atol=0.011
    )
    if not exact:
        assert set(browser.ids()) == {hit.id for hit in hits}
        assert browser.status() == "32 crops, most like #17 first (of its 32 nearest)"
    browser.check_quiet()


def test_linked_pictures_are_found(browser, gallery, tmp_path):
    write_gallery_page(gallery, tmp_path / "page.html", pictures="link")
    browser.open(tmp_path / "page.html")
    browser.driver.set_script_timeout(10)
    browser.driver.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([...document.images].map(i => i.decode())).then(() => done(), done)"
    )
    assert browser.run("return [...document.images].every(i => i.naturalWidth === 64)")
    assert len(browser.all(".tile img")) == 32
    assert browser.driver.get_log("browser") == []


def test_a_missing_picture_is_shown_as_a_grey_box(browser, tmp_path):
    crop = tmp_path / "crop.jpg"
    rendered_person(1, size=(64, 32)).save(crop)
    gallery = Gallery(2)
    gallery.add([[1, 0]], metadata=[{"path": str(crop)}])
    write_gallery_page(gallery, tmp_path / "page.html", pictures="link")
    crop.unlink()
    browser.open(tmp_path / "page.html")
    browser.driver.implicitly_wait(5)
    assert browser.one(".gone").text == "no picture"
    browser.driver.implicitly_wait(0)
    browser.driver.get_log("browser")  # contains the error about the missing file
