"""How the documentation is built: ``sphinx-build -W -n -b html docs docs/_build/html``."""  # noqa: INP001 - a script of Sphinx, no package

from __future__ import annotations

import shutil
from pathlib import Path

import sanreid
from sanreid.config import EncoderConfig
from sanreid.weights import model_card

project = "sanreid"
author = "the sanreid authors"
project_copyright = "the sanreid authors"
version = release = sanreid.__version__

extensions = [
    "myst_nb",  # Markdown, and the notebooks of examples/ with the outputs they keep
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "benchmarks"]

# Sphinx reads below docs/ alone: the notebooks are copied there, the model cards written.
HERE = Path(__file__).parent
NOTEBOOKS, CARDS = HERE / "notebooks", HERE / "cards"
for made in (NOTEBOOKS, CARDS):
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
for notebook in (HERE.parent / "examples").glob("*.ipynb"):
    shutil.copy(notebook, NOTEBOOKS)
for name, entry in sanreid.list_weights().items():
    if entry.role == "encoder":
        _, _, card = model_card(
            EncoderConfig.from_dict(entry.config), entry=entry, repo_id=name
        ).split("---\n", 2)
        (CARDS / f"{name}.md").write_text(card, encoding="utf-8")
nb_execution_mode = "off"  # tests/test_notebooks.py runs them

html_theme = "furo"
html_title = f"sanreid {release}"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"ImageSource": "ImageSource", "ArrayLike": "ArrayLike"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False  # the text says shape and type
napoleon_custom_sections = [("Source", "params_style")]

# Looked up are the public names, sanreid.NAME. Names of other libraries are not (that would need
# the network), nor are the modules that public names are defined in, which signatures mention.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!sanreid\.).*"),
    (r"py:.*", r"sanreid\.\w+\.\w.*"),
]
