"""What other people's programs hand over, and what they ask for: detectors, trackers.

No other library is imported here: its objects are known by what they carry.
"""

from __future__ import annotations

from sanreid.integrations.boxes import read_boxes

__all__ = ["read_boxes"]
