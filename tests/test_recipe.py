"""The conda recipe asks for what the package asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import sanreid

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / ".conda" / "recipe.yaml"
CONDA_NAMES = {"torch": "pytorch", "Pillow": "pillow"}

pytestmark = pytest.mark.skipif(not RECIPE.is_file(), reason=".conda/ is not beside tests/")


def test_the_recipe_agrees_with_the_project():
    recipe = pytest.importorskip("yaml").safe_load(RECIPE.read_text(encoding="utf-8"))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = settings["project"]
    assert recipe["context"]["version"] == sanreid.__version__
    assert recipe["about"]["license"] == project["license"]
    # The wheel has the terms of the weights beside the weights; conda collects them in one folder.
    terms = "sanreid/pretrained/LICENSE"
    assert (ROOT / terms).is_file()
    assert recipe["about"]["license_file"] == [*project["license-files"], terms]
    python = f"python {project['requires-python']}"
    build = conda_names(settings["build-system"]["requires"])
    assert set(recipe["requirements"]["host"]) == {python, "pip", *build}
    assert set(recipe["requirements"]["run"]) == {python, *conda_names(project["dependencies"])}
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert entry == f"sanreid = {project['scripts']['sanreid']}"


def conda_names(requirements):
    for requirement in requirements:
        name, least = re.fullmatch(r"([\w-]+)(>=[\d.]+)", requirement).groups()
        yield f"{CONDA_NAMES.get(name, name)} {least}"
