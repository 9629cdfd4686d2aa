"""Indexes over a gallery's embeddings: exact, approximate, and which of them answers."""
