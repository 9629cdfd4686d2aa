"""Rendering image-texture pairs of synthetic people; needs the extra ``pit``."""
