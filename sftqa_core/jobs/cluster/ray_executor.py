"""Jobs of which a cluster does the pieces: the same queue and worker as the local ones, but they take no device of this machine."""

from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.jobs.queue import asked_work
from sftqa_core.planning.cluster_address import goes_to
from sftqa_core.records import Job, Resources


class RayExecutor(LocalExecutor):
    """Studies, sweeps and probes go to the cluster that SFTQA_CLUSTER names when they are submitted; all else stays here."""

    def needs(self, job: Job) -> Resources:
        """A cluster, or what the job takes here. Raises `SettingsError` for an address that is none."""
        work = asked_work(job.settings)
        several = work.get("models")
        models = [work.get("model"), *(several if isinstance(several, (list, tuple)) else ())]
        address = goes_to(job.kind, [name for name in models if isinstance(name, str)])
        return Resources(cluster=address) if address else super().needs(job)
