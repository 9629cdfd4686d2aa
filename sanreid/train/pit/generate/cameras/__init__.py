"""Rendered cameras: each with one location, mount and response, and the people whom it sees."""
