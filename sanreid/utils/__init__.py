"""Small helpers that every room may use: whole files, progress bars."""
