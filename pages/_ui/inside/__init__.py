"""Panels about what tuning changed inside a model, one a measure."""
