"""Cameras, light, backdrops, carried things and image degradation."""
