"""The notebooks of examples/ run without a network; outputs are small and show no real people."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from sanreid.weights import list_weights
from sanreid.weights.manifest import is_left_out
from tests.notebooks import EXAMPLES, NOTEBOOKS, _as_seen, run

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ is not beside tests/")

PEOPLE, PAIRS = EXAMPLES / "people", EXAMPLES / "pairs"
SEEDS = {"people": 11, "pairs": 5}  # of the commands in examples/README.md


def cells(name, kind="code"):
    notebook = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def test_there_are_notebooks():
    assert {"quickstart.ipynb", "gallery_search.ipynb"} <= set(NOTEBOOKS)
    assert {"train_your_cameras.ipynb", "what_san_sees.ipynb"} <= set(NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from the Jupyter clients
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # their sockets
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path):
    pytest.importorskip("nbclient", reason="nbclient is not installed (extra dev)")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    if name == "what_san_sees.ipynb" and is_left_out(list_weights()["san-pg"]):
        pytest.skip("it paints with san-pg, which is only in the repository")
    for folder in (PEOPLE, PAIRS):
        shutil.copytree(folder, tmp_path / folder.name)
    (tmp_path / "runs").mkdir()
    notebook = run(EXAMPLES / name, tmp_path)
    stored = cells(name)
    fresh = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for old, new in zip(stored, fresh, strict=True):
        # Numbers differ between machines; the kinds of output of a cell do not.
        assert shown(new) == shown(old), f"{source(old)}\nrun: python -m tests.notebooks {name}"


def shown(cell):
    """Return the kinds of output of a cell, without progress and warnings."""
    return {
        key.split("/")[0]  # pictures are stored in the smaller format
        for output in cell["outputs"]
        for key in (output.get("data") or ({"stdout"} if output.get("name") == "stdout" else ()))
    }


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_stored_outputs_come_from_one_complete_run(name):
    code = cells(name)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert any(cell["outputs"] for cell in code)
    for cell in code:
        assert not [o for o in cell["outputs"] if o["output_type"] == "error"], source(cell)
        assert not [o for o in cell["outputs"] if o.get("name") == "stderr"], source(cell)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_stored_outputs_are_small(name):
    assert (EXAMPLES / name).stat().st_size < 700_000
    for cell in cells(name):
        for output in cell["outputs"]:
            for kind, data in (output.get("data") or {}).items():
                if kind.startswith("image/"):
                    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
                        assert picture.width <= 1700


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_reads_only_rendered_people(name):
    """So no real person is shown, and no path of the author's machine."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert not re.findall(r"(?:/home|/root|/tmp|/usr|/Users|[A-Z]:\\\\)[/\w.\\-]*", text)
    assert "SANREID_DATA" not in text
    quoted = re.compile(r"[\"'](people|pairs|[\w.-]+/[\w./-]*)[\"']")
    read = {path.split("/")[0] for cell in cells(name) for path in quoted.findall(source(cell))}
    assert read <= {"people", "pairs", "runs"}  # the notebook itself writes runs/


def test_the_examples_contain_no_other_pictures():
    pictures = {
        path.relative_to(EXAMPLES).parts[0]
        for path in EXAMPLES.rglob("*")
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".gif", ".webp", ".tar"}
        and path.relative_to(EXAMPLES).parts[0] != "runs"  # output of users' runs
    }
    assert pictures <= {"people", "pairs"}
    assert sum(path.stat().st_size for path in PEOPLE.rglob("*")) < 600_000
    assert sum(path.stat().st_size for path in PAIRS.rglob("*")) < 900_000


@pytest.mark.slow
def test_the_people_can_be_rendered_again(tmp_path):
    """Rendering the first and the last person again from the seed gives the same pictures.

    Processors round differently: on one with AVX-512, 1 % of the pixels of one crop differ from
    the kept ones, by up to 6 of 255, and fewer in two others.
    """
    from sanreid.errors import MissingExtraError
    from sanreid.train.pit.generate.people.body import cached_body
    from tests.train.pit.command import main

    try:
        built = cached_body().exists()
    except MissingExtraError as error:
        pytest.skip(str(error))
    if not built:
        pytest.skip("The body model was not built on this machine, which takes minutes.")

    command = ["crops", str(tmp_path), "--seed", str(SEEDS["people"]), "--identities", "40"]
    command += ["--images-per-identity", "4", "--height", "128", "--people", "1", "40"]
    assert main(command) == 0
    for new, folder in (("0001", "train"), ("0002", "left-out")):
        old = "0001" if folder == "train" else "0040"
        for camera in range(1, 5):
            fresh, kept = (
                np.asarray(Image.open(path), dtype=np.int16)
                for path in (
                    tmp_path / f"{new}_c{camera}_rendered_0.jpg",
                    PEOPLE / folder / f"{old}_c{camera}_rendered_0.jpg",
                )
            )
            assert fresh.shape == kept.shape
            assert np.abs(fresh - kept).max() <= 6
            assert np.abs(fresh - kept).mean() <= 0.05


def test_printed_text_is_stored_as_displayed():
    text = (
        "begin\r\nepoch 1/8:  33%|###  | 1/3\repoch 1/8: 100%|#####| 3/3\r\n\x1b[31mred\x1b[0m\n"
        "2/3\r08:24:28 epoch 4, left out: mAP 0.6\n08:24:29 4.23 s a step: about 59 s to come\n"
        "evaluated in 1.8 s\n"
    )
    assert _as_seen(text) == "begin\nred\nepoch 4, left out: mAP 0.6\n"
