"""Garments, fabrics and colors, as paint and as geometry."""
