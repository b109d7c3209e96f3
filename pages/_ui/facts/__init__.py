"""Panels about facts: levels, one fact, probes, aliases, templates, uploads."""
