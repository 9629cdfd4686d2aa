"""The site of docs/ builds without warnings, lists everything public and has valid links."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.test_docs import DOCS, ROOT, written_pages

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="docs/ is not beside tests/")

# Sites that the documentation may link to; the links cannot be tried without a network.
SITES = {
    "arxiv.org",
    "download.pytorch.org",
    "github.com",
    "keepachangelog.com",
    "semver.org",
}
FORMS = {
    "arxiv.org": r"/abs/\d{4}\.\d{5}",
    "github.com": r"/[\w.-]+/[\w.-]+(/(blob|tree)/.+|/issues/\d+)?",
}
NOT_SHOWN = {
    "sanreid.datasets.DATASETS": "the readers of read_dataset, each of which is shown",
    "sanreid.datasets.NameScheme": "a type; the names are listed under read_crops",
    "sanreid.metrics.has_match": "internal to gallery and training",
    "sanreid.metrics.joined_report": "internal to command line and training",
    "sanreid.viz.check_suffix": "internal to the command line",
    "sanreid.__version__": "a string",
}


def texts():
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    paths += [*written_pages(), ROOT / "examples" / "README.md"]
    return {path: path.read_text(encoding="utf-8") for path in paths if path.is_file()}


@pytest.mark.parametrize(
    "module",
    ["sanreid", "sanreid.datasets", "sanreid.gallery", "sanreid.metrics", "sanreid.viz"],
)
def test_every_public_name_is_in_the_reference(module):
    shown = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    directives = re.findall(r"^\.\. auto\w+:: (\S+)$", shown, re.MULTILINE)
    for directive in directives:  # otherwise only the slow build warns about a missing name
        assert exists(directive), directive
    last = {directive.rpartition(".")[2] for directive in directives}
    for name in importlib.import_module(module).__all__:
        if f"{module}.{name}" not in NOT_SHOWN:
            assert name in last, f"{module}.{name} is in no page of docs/reference"


def exists(name):
    home, _, last = name.rpartition(".")
    return hasattr(importlib.import_module(home), last) or find_spec(name) is not None


def test_internal_links_are_valid():
    for page, text in texts().items():
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[\w-]+)?\)", text):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_external_links_are_to_known_sites():
    for page, text in texts().items():
        for link in re.findall(r"https?://[^\s)>\"'`\]]+", text):
            where = f"{page.relative_to(ROOT)}: {link}"
            if re.match(r"http://(127\.0\.0\.1|\w+)[:/;]", f"{link}/"):
                continue  # what the reader's own machines serve
            site, slash, path = link.removeprefix("https://").partition("/")
            assert link.startswith("https://"), where
            assert site in SITES, where
            assert re.fullmatch(FORMS.get(site, ".*"), slash + path.rstrip(".,;")), where


def test_every_page_opens_with_its_purpose():
    for page in written_pages():
        _, _, rest = page.read_text(encoding="utf-8").partition("\n")
        opening = rest.strip().split("\n\n")[0]
        assert re.match(r"[\w`*\[]", opening), f"{page.relative_to(ROOT)}: {opening[:60]!r}"
        assert len(opening.split()) >= 8, f"{page.relative_to(ROOT)}: {opening!r}"


def test_every_picture_has_alternative_text():
    for page, text in texts().items():
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text):
            assert len(words.split()) >= 2, f"{page.relative_to(ROOT)}: {target}"


def test_every_page_is_listed_by_its_title():
    listed = set()
    for listing in (DOCS / "index.md", DOCS / "decisions" / "index.md"):
        text = listing.read_text(encoding="utf-8")
        for words, target in re.findall(r"^- \[(.+)\]\((.+\.md)\)$", text, re.MULTILINE):
            page = listing.parent / target
            assert page.read_text(encoding="utf-8").startswith(f"# {words}\n"), target
            listed.add(page)
    assert listed == set(written_pages()) - {DOCS / "index.md"}


SPHINX_ONLY = re.compile(
    r"^ *:::|^ *```\{(?!eval-rst)|^: |^\([\w-]+\)=$|\{[a-z:]+\}`|\[\]\(", re.MULTILINE
)


def test_pages_are_plain_markdown():
    """Directives and roles are text where the pages are read without Sphinx."""
    for page, text in texts().items():
        found = SPHINX_ONLY.search(text)
        assert found is None, f"{page.relative_to(ROOT)}: {found.group()!r}"
        if page.parent != DOCS / "reference":  # made from docstrings
            assert "{eval-rst}" not in text, page


@pytest.mark.slow
@pytest.mark.skipif(find_spec("myst_nb") is None, reason="Sphinx is not installed (extra docs)")
def test_the_documentation_builds_without_warnings(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html",
         str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").is_file()
    for made in ("notebooks/quickstart.html", "cards/san-r50.html", "cards/san-r50-rendered.html"):
        assert (tmp_path / made).is_file()
