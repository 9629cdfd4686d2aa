"""Galleries: entries kept in memory or on disk, searched by cosine similarity."""

from __future__ import annotations

from sanreid.gallery.gallery import Gallery
from sanreid.gallery.results import Entry, Hit, SearchResult

__all__ = ["Entry", "Gallery", "Hit", "SearchResult"]
