"""Runs and cells of studies side by side."""
