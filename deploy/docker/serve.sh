#!/bin/sh
# What the serving container runs. Settings come as environment variables, as platforms give them:
#   SLT_HF_MODELS      name=FOLDER_OR_REPO, separated by spaces; else what a platform mounted, else the bundled checkpoint
#   SLT_HF_KEY_HASHES  hashes of API keys (slt-hf serve --new-key), separated by spaces; or SLT_HF_KEY_FILE
#   SLT_HF_OPEN=1      ask for no key: only behind a gateway that does (Inference Endpoints), or for a demo (a Space)
#   PORT, GRPC_PORT    8000 and 8001
set -eu

models="${SLT_HF_MODELS:-}"
if [ -z "$models" ] && [ -f /repository/config.json ]; then models="model=/repository"; fi   # Inference Endpoints
if [ -z "$models" ] && [ -f /mnt/models/config.json ]; then models="model=/mnt/models"; fi   # KServe

if [ "${SLT_HF_OPEN:-}" = 1 ]; then
    set -- --open "$@"
elif [ -n "${SLT_HF_KEY_FILE:-}" ]; then
    set -- --key-file "$SLT_HF_KEY_FILE" "$@"
else
    umask 077
    keys="$(mktemp)"
    printf '%s\n' "${SLT_HF_KEY_HASHES:-}" > "$keys"
    set -- --key-file "$keys" "$@"
fi

# shellcheck disable=SC2086  # several models are several words
exec slt-hf serve $models --host 0.0.0.0 --port "${PORT:-8000}" --grpc-port "${GRPC_PORT:-8001}" "$@"
