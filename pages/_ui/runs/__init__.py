"""Panels about runs and jobs: forms, cost, progress, results."""
