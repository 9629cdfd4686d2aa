"""Who is who without labels: crops grouped into people."""

from __future__ import annotations

from sanreid.clustering.identities import cluster_identities
from sanreid.clustering.result import Clustering

__all__ = ["Clustering", "cluster_identities"]
