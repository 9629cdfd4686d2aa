"""Keeping a gallery's entries, in memory or durably in a directory."""
