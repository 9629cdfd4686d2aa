"""How the documentation is built: ``sphinx-build -W -n -b html docs docs/_build/html``."""  # noqa: INP001 - a script of Sphinx, no package

from __future__ import annotations

import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

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

myst_enable_extensions = ["alert"]
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


# The pages are also read where they lie, as GitHub shows them: they hold plain Markdown alone, and
# the site's navigation and its links into the reference are made from that.


def add_contents(_: Sphinx, page: str, source: list[str]) -> None:
    """Add tables of contents to the pages that list other pages."""
    text = source[0]
    if page == "index":
        for section in text.partition("\n## All pages\n")[2].split("\n### ")[1:]:
            caption, _, links = section.partition("\n")
            source[0] += _contents(_listed(links), ":hidden:", f":caption: {caption}")
    elif page == "decisions/index":
        source[0] += _contents(_listed(text), ":hidden:")
    elif page == "notebooks":
        source[0] = re.sub(r"\(\.\./examples/(.+?)\.ipynb\)", r"(notebooks/\1.ipynb)", text)
        source[0] += _contents(re.findall(r"\((notebooks/.+?)\.ipynb\)", source[0]), ":hidden:")
    elif page == "model-card":
        source[0] += "\n## Cards\n" + _contents(["cards/*"], ":glob:")


def _listed(text: str) -> list[str]:
    return re.findall(r"^- \[.+\]\((.+)\.md\)$", text, re.MULTILINE)


def _contents(pages: list[str], *options: str) -> str:
    return "\n".join(["", "```{toctree}", ":maxdepth: 1", *options, "", *pages, "```", ""])


class LinkNames(SphinxPostTransform):
    """Link inline code that is a public name, such as `sanreid.Gallery`, to the reference."""

    default_priority = 100

    def run(self) -> None:
        """Link the names of one page."""
        names = self.env.domains.python_domain.objects
        for code in list(self.document.findall(nodes.literal)):
            entry = names.get(code.astext().removesuffix("()"))
            if entry is None or not isinstance(code.parent, nodes.paragraph | nodes.entry):
                continue
            page = self.app.builder.get_relative_uri(self.env.docname, entry.docname)
            link = nodes.reference("", "", internal=True, refuri=f"{page}#{entry.node_id}")
            code.replace_self(link)
            link += code


def setup(app: Sphinx) -> None:
    """Register the above."""
    app.connect("source-read", add_contents)
    app.add_post_transform(LinkNames)
