"""Pictures of results: ranked lists and contact sheets, drawn with Pillow alone."""

from __future__ import annotations

from sanreid.viz.sheets import contact_sheet, ranked_list
from sanreid.viz.storage import check_suffix, save_picture

__all__ = ["check_suffix", "contact_sheet", "ranked_list", "save_picture"]
