"""How the documentation is built: ``sphinx-build -W -n -b html docs docs/_build/html``."""  # noqa: INP001 - a script of Sphinx, no package

from __future__ import annotations

import sanreid

project = "sanreid"
author = "the sanreid authors"
project_copyright = "the sanreid authors"
version = release = sanreid.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

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
