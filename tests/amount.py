"""How much is tested: what a change is judged by, or with SFTQA_TESTS=full all of it (make faults, make test-full)."""

from __future__ import annotations

import os

FULL = os.environ.get("SFTQA_TESTS") == "full"
