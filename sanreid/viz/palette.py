"""Colors that are distinct to everyone (Okabe and Ito's), as CSS and matplotlib take them."""

from __future__ import annotations

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "PURPLE", "SERIES", "SKY", "VERMILION"]

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, PURPLE, SKY = "#E69F00", "#CC79A7", "#56B4E9"
GREY = "#8A8F98"
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
