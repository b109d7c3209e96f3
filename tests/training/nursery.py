"""Where several processes train together, each begins with everything that it imports: forked from one that does nothing else."""

import multiprocessing

START = "forkserver"
CONTEXT = multiprocessing.get_context(START)
CONTEXT.set_forkserver_preload(["sftqa_core.training.distributed", "sftqa_core.training.fine_tuning", "tests.tiny"])
