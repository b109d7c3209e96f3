"""Panels about what tuning changed inside a model."""
