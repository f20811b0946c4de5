# syntax=docker/dockerfile:1
# Training, preparation and evaluation; the command line and the scripts.
#   docker build --file deploy/docker/training.Dockerfile --tag slt-hf-training .
#   docker run --gpus all --volume "$PWD/outputs:/training/outputs" slt-hf-training scripts/train_translation.py RECIPE.yaml

FROM python:3.11-slim-bookworm
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# OpenCV inside MediaPipe links to these; fonts and ffmpeg are not needed. Versions are Debian's of the base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libegl1 libgl1 libgles2 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 signer
WORKDIR /source
COPY constraints.txt constraints-extract.txt ./
RUN python -m venv /opt/slt_hf \
    && /opt/slt_hf/bin/pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
RUN python -m venv /opt/extract \
    && /opt/extract/bin/pip install --constraint constraints-extract.txt mediapipe pose-format av
COPY . .
RUN /opt/slt_hf/bin/pip install --constraint constraints.txt ".[train,export,tracking]" \
    && mkdir /training \
    && cp -r scripts /training/scripts \
    && chown -R 1000 /training
ENV PATH=/opt/slt_hf/bin:$PATH SLT_HF_EXTRACT_PYTHON=/opt/extract/bin/python PYTHONUNBUFFERED=1
USER 1000
WORKDIR /training
ENTRYPOINT ["python"]
CMD ["-m", "slt_hf.cli.main", "--help"]
