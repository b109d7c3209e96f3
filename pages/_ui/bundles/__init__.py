"""Bundles of other explorers on the pages: imported, told apart from one's own results, removed."""
