"""What the documentation and the README show works, on rendered people.

Blocks fenced as ``python`` are run, page by page in one namespace; lines ``$ sanreid ...`` in
blocks fenced as ``console`` are run too. Blocks fenced as ``bash`` need what a test has not: a
network, data sets, a fresh environment.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sanreid.cli import main
from sanreid.encoder import SANEncoder
from tests.people import rendered_person, write_people

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="docs/ is not beside tests/")

SLOW = {"howto/convert.md"}
FENCE = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages():
    found = sorted(
        path.relative_to(ROOT) for path in DOCS.rglob("*.md") if "_build" not in str(path)
    )
    for page in [Path("README.md"), *found] if DOCS.is_dir() else []:
        if (ROOT / page).is_file() and FENCE.search((ROOT / page).read_text(encoding="utf-8")):
            slow = (
                page.relative_to("docs").as_posix() in SLOW if page.parts[0] == "docs" else False
            )
            yield pytest.param(page, id=str(page), marks=[pytest.mark.slow] if slow else [])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The files that the pages speak of."""
    root = tmp_path_factory.mktemp("docs")
    write_people(root / "crops", identities=3, cameras=2, size=(128, 64))
    for path in write_people(root / "gallery", identities=3, cameras=2, size=(128, 64)):
        if "_c1" in path.name:
            (root / "query").mkdir(exist_ok=True)
            path.rename(root / "query" / path.name)
    for name, camera in (("query", 1), ("a", 1), ("b", 2), ("c", 3)):
        rendered_person(1, camera, 1, size=(128, 64)).save(root / f"{name}.jpg")
    frame = Image.new("RGB", (320, 280), (120, 120, 120))
    frame.paste(rendered_person(1), (8, 4))
    frame.paste(rendered_person(2), (160, 4))
    frame.save(root / "frame.png")
    return root


@pytest.fixture(scope="module")
def load_once(tiny_encoder):
    """A tiny encoder stands for the bundled one, which ``sanreid demo`` tests; others load."""
    real = SANEncoder.from_pretrained

    def from_pretrained(name=None, **options):
        return tiny_encoder if name is None else real(name, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SANEncoder, "from_pretrained", from_pretrained)
        yield


@pytest.mark.parametrize("page", list(pages()))
def test_what_a_page_shows_works(page, prepared, load_once, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    if page.name == "convert.md":
        write_torchvision_checkpoint(tmp_path / "resnet50.pth")
    picture = Image.open("b.jpg")
    names = {"pil_image": picture, "array": np.asarray(picture)}
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        line = text[: block.start()].count("\n") + 1
        if block[1] == "python":
            # The line numbers of a traceback are those of the page.
            exec(compile("\n" * line + block[2], str(page), "exec"), names)
            continue
        for command in block[2].splitlines():
            assert command.startswith("$ sanreid "), f"{page}:{line}: not a command: {command}"
            assert main(shlex.split(command)[2:]) == 0, f"{page}:{line}: {command}"


def write_torchvision_checkpoint(path):
    import torch
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(torchvision.models.resnet50().state_dict(), path)


def test_pages_link_to_pages_that_are_there():
    for page in DOCS.rglob("*.md"):
        if "_build" in page.parts:
            continue
        for target in re.findall(r"\]\(([^)#:]+\.md)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name} links to {target}"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="sphinx is not installed (extra docs)")
def test_the_documentation_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html",
         str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").is_file()
