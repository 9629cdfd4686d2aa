"""Training: everything that is thrown away at inference. ``pip install sanreid[train]``."""
