"""Galleries: entries kept in memory or on disk, searched by cosine similarity."""

from __future__ import annotations

from sanreid.gallery.calibration import Calibration
from sanreid.gallery.gallery import Gallery
from sanreid.gallery.identification import Identification
from sanreid.gallery.open_set import OpenSetReport
from sanreid.gallery.people.clusters import EntryClustering
from sanreid.gallery.people.doubt import DoubtfulPair
from sanreid.gallery.people.naming import Assignment
from sanreid.gallery.people.person import Person
from sanreid.gallery.results import Entry, Hit, SearchResult

__all__ = [
    "Assignment",
    "Calibration",
    "DoubtfulPair",
    "Entry",
    "EntryClustering",
    "Gallery",
    "Hit",
    "Identification",
    "OpenSetReport",
    "Person",
    "SearchResult",
]
