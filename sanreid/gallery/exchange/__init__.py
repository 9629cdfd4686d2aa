"""Entries handed on: as one file, and as tables of pandas."""
