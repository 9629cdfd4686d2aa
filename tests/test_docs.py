"""What the documentation and the README show works, on rendered people.

Blocks fenced as ``python`` are run, page by page in one namespace; lines ``$ sanreid ...`` in
blocks fenced as ``console`` are run too. Blocks fenced as ``toml`` are read as settings of a
training. Blocks fenced as ``bash`` need what a test has not: a network, data sets, a fresh
environment, hours; of them it is tested that the commands exist and take these arguments.
"""

from __future__ import annotations

import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sanreid.cli import main
from sanreid.config import BACKBONES
from sanreid.datasets.registry import REGISTERED
from sanreid.encoder import SANEncoder
from sanreid.gallery.index.kinds import KINDS
from sanreid.train.losses.objective import _ENTRIES
from tests.people import rendered_person, write_people

ROOT = Path(__file__).resolve().parent.parent
DOCS, PAIRS = ROOT / "docs", ROOT / "examples" / "pairs"
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="docs/ is not beside tests/")

SLOW = {"howto/convert.md", "howto/export.md"}
FENCE = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def written_pages():
    """The pages of docs/ that are written by hand: not those that building makes."""
    made = {"_build", "cards", "notebooks"}
    return sorted(page for page in DOCS.rglob("*.md") if not made & set(page.parts))


def pages():
    found = [page.relative_to(ROOT) for page in written_pages()]
    for page in [Path("README.md"), *found]:
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
    if PAIRS.is_dir():
        shutil.copytree(PAIRS, root / "pairs")
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


@pytest.fixture
def own_entries():
    """What a page registers is taken out again."""
    tables = (BACKBONES, REGISTERED, _ENTRIES, KINDS)
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


@pytest.mark.parametrize("page", list(pages()))
def test_what_a_page_shows_works(page, prepared, load_once, own_entries, tmp_path, monkeypatch):
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


def blocks(kind):
    fence = re.compile(rf"^```{kind}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for page in [ROOT / "README.md", *written_pages()]:
        if page.is_file():
            for place, block in enumerate(fence.findall(page.read_text(encoding="utf-8"))):
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{place}")


def commands(block):
    """The commands of a block that are sanreid's, continued lines joined, comments left out."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]  # HF_HUB_OFFLINE=1 sanreid ...
        if "&&" in words:
            words = words[len(words) - words[::-1].index("&&") :]
        if words and Path(words[0]).name in ("python", "torchrun", "sanreid"):
            yield words


@pytest.mark.parametrize("block", list(blocks("bash")))
def test_commands_that_are_not_run_are_at_least_right(block):
    from sanreid.cli import _parser as parse_sanreid
    from sanreid.train.commands import COMMANDS, build_parser

    for words in commands(block):
        line = " ".join(words)
        if Path(words[0]).name == "sanreid":
            assert parse_sanreid().parse_args(words[1:]).run, line
            continue
        if words[1] == "-" or words[1].endswith(".py"):
            assert words[1] == "-" or (ROOT / words[1]).is_file(), line
            continue
        module, arguments = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
        assert find_spec(module) is not None, line
        if module == "sanreid.train":
            run = [] if arguments[0] in COMMANDS else ["run"]
            assert build_parser().parse_args([*run, *arguments]).run, line
        else:
            assert not module.startswith("sanreid.train."), f"no command any more: {line}"


@pytest.mark.parametrize("block", list(blocks("toml")))
def test_settings_are_settings(block, tmp_path):
    from sanreid.train.config.loader import load_config

    path = tmp_path / "shown.toml"
    path.write_text(block, encoding="utf-8")
    config = load_config(str(path), [])
    assert config.data.sources
    assert config.evaluation.sets
