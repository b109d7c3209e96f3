"""Chapters of the page Inside, one file a measure."""
