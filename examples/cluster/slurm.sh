#!/usr/bin/env bash
# Workers under SLURM: an array of jobs, one a node, that join one Ray cluster (docs/cluster.md). The head runs where this is started, on a
# login or service node that stays, and computes nothing.
#
#   examples/cluster/slurm.sh 8 --partition gpu --gpus-per-node 4 --time 08:00:00
#   sftqa study amount --models atlas-llama --cluster "$(hostname -f):6379"
#   scancel --name sftqa-worker; ray stop
set -euo pipefail

nodes=${1:?how many nodes}
shift
: "${SFTQA_CACHE:?a folder that all nodes share}"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$SFTQA_CACHE/../ray-token} RAY_USAGE_STATS_ENABLED=0
if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then
  (umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH")
fi

head="$(hostname -f):6379"
ray start --head --port 6379 --num-cpus 0 --num-gpus 0 --include-dashboard false --object-store-memory 100000000

# --block keeps the job alive as long as its node belongs to the cluster; a job that ends is a lost machine, whose piece another one does.
sbatch "$@" --job-name sftqa-worker --array "1-$nodes" --nodes 1 --ntasks 1 --exclusive --requeue --export ALL --wrap \
  "ray start --address $head --object-store-memory 100000000 --temp-dir /tmp/ray-\$SLURM_JOB_ID --block"
