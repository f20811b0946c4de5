# syntax=docker/dockerfile:1
# One container: docker, KServe custom predictor, Inference Endpoints (custom image), Docker Space.
#   docker build --file deploy/docker/serving.Dockerfile --tag slt-hf-serving .
#   --build-arg TORCH_INDEX=<index of CPU wheels> makes it some gigabytes smaller where there is no GPU

FROM node:22-bookworm-slim AS landmarks
WORKDIR /landmarks
# what the page finds landmarks with; checked by its checksum when it is installed below
RUN npm pack --silent @mediapipe/holistic@0.5.1675471629

FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY constraints.txt constraints-extract.txt ./
RUN python -m venv /opt/slt_hf \
    && /opt/slt_hf/bin/pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
# poses of uploaded videos: MediaPipe needs an older numpy, so it lives apart
RUN python -m venv /opt/extract \
    && /opt/extract/bin/pip install --constraint constraints-extract.txt mediapipe pose-format av
COPY . .
RUN /opt/slt_hf/bin/pip install --constraint constraints.txt ".[serve,data]"
COPY --from=landmarks /landmarks /landmarks
RUN SLT_HF_PAGE_LANDMARKS=/opt/holistic /opt/slt_hf/bin/slt-hf serve --fetch-landmarks --from /landmarks/*.tgz

FROM python:3.11-slim-bookworm
# OpenCV inside MediaPipe links to these. Their versions are Debian's of the base image, which is what is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libegl1 libgl1 libgles2 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 signer
COPY --from=build /opt /opt
COPY --chmod=755 deploy/docker/serve.sh /opt/serve.sh
ENV PATH=/opt/slt_hf/bin:$PATH \
    SLT_HF_EXTRACT_PYTHON=/opt/extract/bin/python \
    SLT_HF_PAGE_LANDMARKS=/opt/holistic \
    HF_HOME=/tmp/huggingface \
    PYTHONUNBUFFERED=1
USER 1000
WORKDIR /home/signer
EXPOSE 8000 8001
HEALTHCHECK --start-period=120s --interval=15s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", 8000)}/health/ready', timeout=5)"]
ENTRYPOINT ["/opt/serve.sh"]
