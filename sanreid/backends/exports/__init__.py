"""Exports: an encoder as a file for another program, checked before it is in place."""
