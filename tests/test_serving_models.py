"""Any checkpoint of ours is served: vision-language, VideoMAE, I3D, poses, exported; over REST, V2 and gRPC alike."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
from server_process import free_port
from tiny_checkpoints import WORDS, save_classification, save_video_classification, save_video_translation
from tiny_vlm import save_vlm, tiny_vlm_tokenizer

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
pytest.importorskip("av", reason="slt_hf[data] is not installed")
grpc_client = pytest.importorskip("tritonclient.grpc", reason="slt_hf[serve] is not installed")

from starlette.testclient import TestClient  # noqa: E402
from starlette.websockets import WebSocketDisconnect  # noqa: E402
from test_guarded_video import encode  # noqa: E402

from slt_hf.demonstration import sign_unseen  # noqa: E402
from slt_hf.errors import ClipError  # noqa: E402
from slt_hf.pipeline import Translation  # noqa: E402
from slt_hf.processing.pose_files import pose_bytes  # noqa: E402
from slt_hf.processing.pose_inputs import to_clip  # noqa: E402
from slt_hf.serving.client import over_grpc  # noqa: E402
from slt_hf.serving.inference_protocol import file_values  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import SignService  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402

SEES_FRAMES = ["vlm", "videomae", "i3d", "video_text"]
HEADER_LENGTH = "Inference-Header-Content-Length"
VIDEO = encode("mpeg4", "mp4", (64, 48), 25)


def save_i3d(folder: Path) -> Path:
    import torch

    from slt_hf.modeling import I3DConfig, I3DForVideoClassification
    from slt_hf.processing import VideoFeatureExtractor

    torch.manual_seed(0)
    labels = {index: word.upper() for index, word in enumerate(WORDS)}
    I3DForVideoClassification(I3DConfig(width_multiplier=1 / 16, id2label=labels)).save_pretrained(folder)
    VideoFeatureExtractor(num_frames=16, image_size=32).save_pretrained(folder)
    return folder


def save_talking_vlm(folder: Path) -> Path:
    """One whose random words are few, and of letters: its head is its embeddings."""
    from safetensors.torch import load_file, save_file

    weights = load_file(save_vlm(folder) / "model.safetensors")
    head = next(name for name in weights if name.endswith("embed_tokens.weight"))
    vocabulary = tiny_vlm_tokenizer().get_vocab()
    weights[head][[number for token, number in vocabulary.items() if token not in ascii_lowercase]] = 0
    save_file(
        {name: weight * (50 if name == head else 1) for name, weight in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    told = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(told | {"max_new_tokens": 8}))
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> SignService:
    from slt_hf.export.exporting import export_checkpoint

    folder = tmp_path_factory.mktemp("models")
    savers = {
        "signs": save_classification, "vlm": save_talking_vlm, "videomae": save_video_classification, "i3d": save_i3d,
        "video_text": save_video_translation,
    }  # fmt: skip
    models = {name: save(folder / name) for name, save in savers.items()}
    models["exported"] = export_checkpoint(models["signs"], folder / "exported")
    return SignService(models, ServerSettings(open_to_all=True, grpc_port=free_port()), "cpu")


@pytest.fixture(scope="module")
def client(service: SignService) -> Iterator[TestClient]:
    with TestClient(build_app(service), raise_server_exceptions=False) as client:
        yield client


def said(found: Any) -> str:
    """As the protocol gives it: a text, or the likeliest label."""
    return found.text if isinstance(found, Translation) else found.label


def over_translate(client: TestClient, name: str, body: bytes) -> str:
    answer = client.post(f"/translate?model={name}", content=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return told["translation"] if "translation" in told else told["labels"][0]["label"]


def over_v2(client: TestClient, name: str, body: bytes, binary: bool) -> str:
    stated: dict[str, Any] = {"name": "file", "datatype": "BYTES", "shape": [1]}
    if binary:
        header = json.dumps({"inputs": [stated]}).encode()
        content, headers = header + struct.pack("<I", len(body)) + body, {HEADER_LENGTH: str(len(header))}
    else:
        content = json.dumps({"inputs": [stated | {"data": [base64.b64encode(body).decode()]}]}).encode()
        headers = {}
    answer = client.post(f"/v2/models/{name}/infer", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"][0]["data"][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SEES_FRAMES, "signs", "exported"])
def test_every_kind_of_checkpoint_says_over_each_protocol_what_it_says_offline(
    service: SignService, client: TestClient, name: str
):
    sees_frames = name in SEES_FRAMES
    body = VIDEO if sees_frames else pose_bytes(sign_unseen(seed=2)[1])
    expected = said(service.served[name].model(body if sees_frames else to_clip(body)))
    assert expected and over_translate(client, name, body) == expected, expected
    assert over_v2(client, name, body, binary=True) == over_v2(client, name, body, binary=False) == expected
    address = f"127.0.0.1:{service.settings.grpc_port}"
    assert over_grpc(body, address, None, name)["translation"] == expected
    inputs = client.get(f"/v2/models/{name}").json()["inputs"]
    assert [each["name"] for each in inputs] == (["file"] if sees_frames else ["poses"])
    if not sees_frames:
        assert over_grpc(to_clip(body), address, None, name)["translation"] == expected


@pytest.mark.slow
def test_the_page_is_told_which_models_it_can_stream_to(client: TestClient):
    streams = {each["name"]: each["streams"] for each in client.get("/models").json()}
    assert streams == dict.fromkeys(SEES_FRAMES, False) | {"signs": True, "exported": True}


@pytest.mark.slow
def test_poses_for_a_model_that_sees_frames_are_refused_with_a_reason(service: SignService, client: TestClient):
    tensor = {"name": "poses", "datatype": "FP32", "shape": [1, 1, 543, 3], "data": [0.5] * 1629}
    answer = client.post("/v2/models/vlm/infer", json={"inputs": [tensor]})
    assert answer.status_code == 400 and "expected input 'file'" in answer.json()["error"]
    refused = client.post("/translate?model=vlm", content=pose_bytes(sign_unseen(seed=2)[1]))
    assert refused.status_code == 422
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/stream?model=vlm") as stream:
        stream.receive_json()
    assert closed.value.code == 1008 and "sees frames" in str(closed.value.reason)


@pytest.mark.parametrize(
    ("shape", "data", "message"),
    [
        ([1], b"", "expected 1 values"),
        ([1], b"\x05\0\0\0abc", "cut off"),
        ([1], b"\x01\0", "cut off"),
        ([9], b"", "at most 8"),
        ([1, 1], b"", "unexpected shape"),
        ([1], ["not base64!"], "base64"),
        ([1], [7], "base64"),
        ([1], "text", "expected a list"),
        ([2], b"\x01\0\0\0a", "found 1"),
    ],
)
def test_files_that_are_not_packed_as_the_protocol_has_it_are_refused(shape: Any, data: Any, message: str):
    with pytest.raises(ClipError, match=message):
        file_values(shape, data)


def test_files_come_each_after_its_length_or_in_base64():
    assert file_values([2], b"\x01\0\0\0a\0\0\0\0") == file_values([2], ["YQ==", ""]) == [b"a", b""]
