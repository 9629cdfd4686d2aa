"""The top version of the changelog is the version of the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sanreid

CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"


@pytest.mark.skipif(not CHANGELOG.exists(), reason="the changelog is not beside the tests")
def test_top_version_is_the_package_version():
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", CHANGELOG.read_text("utf-8"), re.MULTILINE)
    assert versions[0] == sanreid.__version__
