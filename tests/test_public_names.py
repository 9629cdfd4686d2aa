"""The front door: names, laziness, and what importing costs."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("sanreid", "torch"),
        ("sanreid", "faiss"),
        ("sanreid", "numpy"),
        ("sanreid.images", "torch"),
        ("sanreid.datasets", "torch"),
        ("sanreid.gallery", "torch"),
        ("sanreid.metrics", "torch"),
        ("sanreid.metrics", "faiss"),
        ("sanreid.rerank", "torch"),
        ("sanreid.cameras", "torch"),
        ("sanreid.cameras", "faiss"),
        ("sanreid.clustering", "torch"),
        ("sanreid.clustering", "scipy"),
        ("sanreid.encoder", "sanreid.train"),
        ("sanreid.cli", "torch"),
        ("sanreid.cli", "numpy"),
    ],
)
def test_import_does_not_load(module, forbidden):
    code = f"import sys, {module}; sys.exit({forbidden!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
