"""Requests made from the server's own schema: it answers all of them, and as the schema says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from starlette.testclient import TestClient  # noqa: E402

from slt_hf.serving.keys import new_key  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import SignService  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402

pytestmark = pytest.mark.slow

KEY, HASH = new_key()
ALLOWED = {"Authorization": f"Bearer {KEY}"}
TAKEN = ("method", "url", "headers", "params", "data", "json", "files", "cookies")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    corrections: Path = tmp_path_factory.mktemp("corrections")
    bounds = {"requests_per_minute": 10_000_000, "max_corrections_bytes": 1_000_000}
    settings = ServerSettings(api_key_hashes=(HASH,), corrections=corrections, **bounds)  # type: ignore[arg-type]
    service = SignService({"demo": None}, settings, "cpu")
    with TestClient(build_app(service), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def schema(client: TestClient) -> dict[str, Any]:
    return client.get("/openapi.json", headers=ALLOWED).json()


def strategies(operation: Any) -> list[Any]:
    """Requests as the schema says and, where that can be, as it does not; some of a model that is served."""
    kinds: list[dict[str, Any]] = [{}]
    if len(operation.path_parameters):
        kinds.append({"path_parameters": {"name": "demo"}})
    modes = [schemathesis.GenerationMode.POSITIVE]
    if len(operation.path_parameters) or len(operation.query) or len(operation.body):  # else nothing can be wrong
        modes.append(schemathesis.GenerationMode.NEGATIVE)
    return [operation.as_strategy(generation_mode=mode, **kind) for mode in modes for kind in kinds]


def ask(client: TestClient, operation: Any, examples: int) -> set[int]:
    """Status codes of the answers."""
    seen: set[int] = set()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(strategies(operation)))
    def answers(case: Any) -> None:
        seen.add(answered(client, case))

    answers()
    return seen


def answered(client: TestClient, case: Any) -> int:
    """The status of an answer, which the schema has to name."""
    kwargs = case.as_transport_kwargs(base_url="http://testserver", headers=ALLOWED)
    asked: Any = requests.Request(**{name: value for name, value in kwargs.items() if name in TAKEN}).prepare()
    answer = client.request(asked.method, asked.url, content=asked.body, headers=dict(asked.headers))
    told = (answer.status_code, answer.text[:300], asked.method, asked.url, asked.body)
    assert answer.status_code < 500, told
    assert str(answer.status_code) in case.operation.definition.raw["responses"], told
    return answer.status_code


def test_every_request_made_from_the_schema_gets_an_answer_that_it_names(client: TestClient, schema: dict[str, Any]):
    found = {
        f"{each.ok().method.upper()} {each.ok().path}": ask(client, each.ok(), 150)
        for each in schemathesis.openapi.from_dict(schema).get_all_operations()
    }
    assert len(found) == len(schema["paths"])
    assert {400, 404} <= found["POST /v2/models/{name}/infer"] and {404, 422} <= found["POST /translate"]
    assert {200, 404} <= found["GET /v2/models/{name}"] and 200 in found["GET /example"]
    assert 'status="5' not in client.get("/metrics", headers=ALLOWED).text
