"""Optional packages: one message for each that is missing."""

from __future__ import annotations

import sys

import pytest

from sanreid.errors import MissingExtraError
from sanreid.utils.extras import require_extra


def test_a_package_that_is_there_is_returned():
    assert (
        require_extra("json.decoder", purpose="A test", install="x") is sys.modules["json.decoder"]
    )


@pytest.mark.parametrize(
    ("install", "ending"),
    [
        ("sanreid[export]", "Install the extra: pip install 'sanreid[export]'"),
        ("umap-learn", "Install it: pip install umap-learn"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(install, ending, monkeypatch):
    monkeypatch.setitem(sys.modules, "nowhere", None)
    with pytest.raises(MissingExtraError) as caught:
        require_extra("nowhere.inside", purpose="The figure", install=install)
    assert str(caught.value).startswith("The figure needs the package 'nowhere' (")
    assert str(caught.value).endswith(ending)
