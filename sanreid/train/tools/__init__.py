"""Tools around a run: evaluation, export, learning-rate search, gradient balance."""
