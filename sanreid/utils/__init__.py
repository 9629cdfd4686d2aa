"""Small helpers that every room may use: files, optional packages, progress bars."""
