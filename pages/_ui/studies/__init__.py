"""Panels about studies."""
