# The explorer, or a worker of a cluster (docs/cluster.md), in a container. One argument chooses the build of torch: the address of the
# index that has it, which pytorch.org tells ("Get started") for a processor alone and for each CUDA. Without it: the build for CUDA.
#   docker build -t sftqa-explorer:cpu --build-arg TORCH_INDEX=ADDRESS .
#   docker build -t sftqa-explorer:cuda .    # for NVIDIA GPUs (run with --gpus all)
# The explorer must listen on all addresses inside of the container, so publish its port on this machine's loopback alone, and log in:
#   docker run --rm -p 127.0.0.1:8501:8501 -e SFTQA_TOKEN="$(python3 -c 'import secrets; print(secrets.token_hex(32))')" \
#     -v sftqa-cache:/cache sftqa-explorer:cpu
# A worker (Ray uses many ports, in both directions: the host's network):
#   docker run --rm --network host --shm-size 1g --gpus all -v /shared:/shared -e SFTQA_CACHE=/shared/cache -e RAY_AUTH_MODE=token \
#     -e RAY_AUTH_TOKEN_PATH=/shared/token sftqa-explorer:cuda ray start --address HEAD:6379 --object-store-memory 100000000 --block
FROM python:3.12-slim

ARG TORCH_INDEX=
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 RAY_USAGE_STATS_ENABLED=0 \
    SFTQA_CACHE=/cache SFTQA_STATE=/state HF_HOME=/cache/hf

WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
# torch first and alone, in the build of that index (which pip prefers, as 2.13.0+cpu is later than 2.13.0): a layer that stays
RUN python -m pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch==2.13.0
COPY app.py ./
COPY .streamlit .streamlit
COPY sftqa_core sftqa_core
COPY pages pages
COPY cache/shipped cache/shipped
RUN python -m pip install --constraint constraints.txt ".[cluster]" && rm -rf /app/*
RUN useradd --uid 10001 --create-home sftqa && mkdir -p /cache /state && chown sftqa /cache /state

USER sftqa
WORKDIR /home/sftqa
VOLUME ["/cache"]
EXPOSE 8501
CMD ["sftqa", "app", "--host", "0.0.0.0", "--share", "--no-browser"]
