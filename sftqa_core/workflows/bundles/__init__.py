"""Results as bundles: packed here (bundle_packing), checked and imported there (bundle_checks, bundle_imports), read apart from all
look-ups (bundle_studies, and training/runs.py). Loads no torch."""
