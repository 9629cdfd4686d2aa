"""Figures drawn with Matplotlib, from the extra ``viz``."""
