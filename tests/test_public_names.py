"""The front door: names, laziness, and what importing costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import sanreid


def test_every_public_name_is_there():
    for name in sanreid.__all__:
        assert getattr(sanreid, name) is not None
        assert name in dir(sanreid)


def test_modules_of_the_library_need_no_import_of_their_own():
    code = (
        "import sanreid; sanreid.weights.verify; sanreid.metrics.evaluate; sanreid.viz; "
        "assert 'weights' in dir(sanreid)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["cameras", "clustering", "integrations", "rerank"])
def test_a_module_is_an_attribute(name):
    code = f"import sanreid; assert sanreid.{name}.__name__ == 'sanreid.{name}'"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'SanEncoder'"):
        sanreid.SanEncoder  # noqa: B018 - the access itself is what is tested


NOT_LOADED = [
    # In the order of one process: what a module loads is there for all below it.
    ("sanreid", "torch"),
    ("sanreid", "faiss"),
    ("sanreid", "numpy"),
    ("sanreid.cli", "torch"),
    ("sanreid.cli", "numpy"),
    ("sanreid.images", "torch"),
    ("sanreid.datasets", "torch"),
    ("sanreid.metrics", "torch"),
    ("sanreid.metrics", "faiss"),
    ("sanreid.cameras", "torch"),
    ("sanreid.cameras", "faiss"),
    ("sanreid.clustering", "torch"),
    ("sanreid.clustering", "scipy"),
    ("sanreid.rerank", "torch"),
    ("sanreid.gallery", "torch"),
    ("sanreid.encoder", "sanreid.train"),
]


@pytest.fixture(scope="module")
def loaded():
    """Return the modules that are loaded after each import of the table."""
    code = (
        "import importlib, json, sys\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    found[name] = sorted(sys.modules)\n"
        "print(json.dumps(found))"
    )
    command = [sys.executable, "-c", code, *dict(NOT_LOADED)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.mark.parametrize(("module", "forbidden"), NOT_LOADED)
def test_import_does_not_load(module, forbidden, loaded):
    assert module in loaded[module]
    assert forbidden not in loaded[module]
