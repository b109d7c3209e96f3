"""Models: which there are, where they can run, how they are loaded.

bitsandbytes, where it is installed, fetches a kernel from the hub as soon as it is imported, by the package `kernels`; transformers
imports it unasked. No program code of the hub is run here, so that package counts as not installed.
"""

import logging
import sys

sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]  # how Python says that there is no such module
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # which would complain about that at every start
