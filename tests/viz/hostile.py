"""Texts that attempt injection, and a strict HTML parser."""

from __future__ import annotations

import pytest

html5lib = pytest.importorskip("html5lib", reason="the dev extra is not installed")

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "\"><img src=x onerror='window.hacked = 1'>",
    "line\nbreak\r\ttab",
    "</div></table></script></title></style><svg onload=window.hacked=1>",
    "\u2028\u2029\u202e\x00\x1b[31m",
    "javascript:window.hacked=1",
    "&lt;b&gt; &amp; 'quotes' \"double\" @@data@@ ${1} \\u003c",
    "<!--<script>",
    "</script ><script >window.hacked = 1</script >",
    "x" * 5000,
]


def parsed(page):
    """Parse a page strictly: an unclosed tag, a stray quote, an unknown entity is an error."""
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    for element in tree.iter():
        element.tag = str(element.tag).rpartition("}")[2]  # SVG's own namespace
    return tree


def parsed_fragment(fragment):
    """Parse an HTML fragment as a notebook embeds it."""
    return parsed(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>t</title></head>'
        f"<body>{fragment}</body></html>"
    )
