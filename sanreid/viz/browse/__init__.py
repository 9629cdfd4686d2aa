"""A gallery as one HTML file, looked at and searched in any browser."""

from __future__ import annotations

from sanreid.viz.browse.page import GalleryPage, write_gallery_page

__all__ = ["GalleryPage", "write_gallery_page"]
