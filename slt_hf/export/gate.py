"""The gate: an exported checkpoint says what the PyTorch one says, or it is no export.

Both sides run through the engines that users run. Encoder states, keys, values and logits agree within 1e-4 of their
size; greedy and 4-beam tokens are equal; confidences agree within 1e-3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from slt_hf.engines import TorchClassifier, TorchCTC, TorchGenerator
from slt_hf.errors import ExportError
from slt_hf.export.comparison import Check, compare_confidences, compare_numbers, compare_sequences
from slt_hf.export.engines import OnnxClassifier, OnnxCTC, OnnxDualEncoder, OnnxGenerator, OnnxStreamEncoder
from slt_hf.export.folder import ExportFolder
from slt_hf.export.gate_cases import Case
from slt_hf.export.graphs import EncoderGraph
from slt_hf.label_ngrams import LabelNgrams

BEAMS = 4
NEW_TOKENS = 32  # as far as sentences are compared: enough for one, and random weights never end theirs


def run_gate(model: Any, export: ExportFolder, cases: Sequence[Case]) -> list[Check]:
    """Every check of an export against its model."""
    import torch

    gates: dict[str, Callable[..., Iterator[Check]]] = {
        "SignToTextForConditionalGeneration": translation_checks,
        "PoseEncoderForCTC": recognition_checks,
        "PoseEncoderForSignClassification": classification_checks,
        "VideoMAEForVideoClassification": classification_checks,
        "I3DForVideoClassification": classification_checks,
        "SignTextDualEncoderModel": dual_checks,
        "PoseEncoderModel": encoder_checks,
        "VideoEncoderModel": encoder_checks,
    }
    with torch.inference_mode():
        checks = list(gates[type(model).__name__](model, export, cases))
        if "stream" in export.graphs:
            checks += list(stream_checks(model, export, cases))
    return checks


def refuse_failures(checks: Sequence[Check]) -> None:
    """Raises:
    ExportError: for the first check that failed: where, and how many more.
    """
    failed = [check for check in checks if not check.passed]
    if failed:
        first = failed[0]
        raise ExportError(
            f"the exported graphs do not say what PyTorch says: {first.what} of {first.case}: {first.where} (differing "
            f"by {first.worst:.3g}, allowed {first.limit:g}; {len(failed)} of {len(checks)} checks failed); nothing "
            "was written: report the model's kind, or run it with PyTorch"
        )


def translation_checks(model: Any, export: ExportFolder, cases: Sequence[Case]) -> Iterator[Check]:
    engine, torch_engine = OnnxGenerator(export, "cpu"), TorchGenerator(model)
    encoder = EncoderGraph(model)
    for case in cases:
        inputs = tensors(case)
        theirs = {name: value.numpy() for name, value in encoder(**inputs).items()}
        ours = engine.encode(case.inputs)
        yield from memory_checks(case.name, ours, theirs)
        for beams in (1, BEAMS):
            options = {"num_beams": beams, "max_new_tokens": NEW_TOKENS}
            expected = torch_engine.generate(case.inputs, **options)
            found = engine.generate(case.inputs, **options)
            named = f"{case.name}, {'greedy' if beams == 1 else f'{beams} beams'}"
            yield compare_sequences("tokens", named, [h.tokens for h in found], [h.tokens for h in expected])
            confidences = ([h.confidence for h in each] for each in (found, expected))
            yield compare_confidences("confidence", named, *confidences)
            if beams == 1:
                yield logits_check(model, engine, case.name, ours, inputs, [h.tokens for h in expected])


def memory_checks(case: str, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> Iterator[Check]:
    """Encoder states, keys and values where the mask is 1; a graph may have room for more steps, all of them masked."""
    steps = theirs["memory_mask"].shape[1]
    mask = ours["memory_mask"]
    padded = np.zeros_like(mask)
    padded[:, :steps] = theirs["memory_mask"]
    yield compare_sequences("encoder mask", case, mask.tolist(), padded.tolist())
    real = theirs["memory_mask"].astype(bool)
    for name, value in theirs.items():
        if name != "memory_mask":
            axis = 1 if name == "last_hidden_state" else 2
            own = np.moveaxis(ours[name], axis, 1)[:, :steps]
            yield compare_numbers(name, case, own[real], np.moveaxis(value, axis, 1)[real])


def logits_check(
    model: Any, engine: OnnxGenerator, case: str, memory: Any, inputs: Any, tokens: list[list[int]]
) -> Check:
    """Logits of all tokens at once, fed with PyTorch's own sentence."""
    import torch

    start, pad = model.generation_config.decoder_start_token_id, model.generation_config.pad_token_id
    longest = max(map(len, tokens))
    fed = np.array([[start, *row, *[pad] * (longest - len(row))] for row in tokens], np.int64)
    named = {name: value for name, value in inputs.items() if name != "forced_bos_token_id"}
    theirs = model(**named, decoder_input_ids=torch.from_numpy(fed)).logits.numpy()
    ours = engine.score(memory, fed)
    real = np.arange(longest + 1)[None] <= np.array([len(row) for row in tokens])[:, None]
    return compare_numbers("logits", case, ours[real], theirs[real])


def recognition_checks(model: Any, export: ExportFolder, cases: Sequence[Case]) -> Iterator[Check]:
    engine, torch_engine = OnnxCTC(export, "cpu"), TorchCTC(model, LabelNgrams.load(export.path))
    for case in cases:
        output, ours = model(**tensors(case)), engine.graph(**case.inputs)
        theirs = output.attention_mask.numpy()
        yield compare_sequences("mask", case.name, ours["output_mask"].tolist(), theirs.tolist())
        real = theirs.astype(bool)
        yield compare_numbers("logits", case.name, ours["logits"][real], output.logits.numpy()[real])
        for beams in (1, BEAMS):
            found, expected = (each.generate(case.inputs, num_beams=beams) for each in (engine, torch_engine))
            named = f"{case.name}, {'greedy' if beams == 1 else f'{beams} beams'}"
            yield compare_sequences("labels", named, [h.tokens for h in found], [h.tokens for h in expected])
            confidences = ([h.confidence for h in each] for each in (found, expected))
            yield compare_confidences("confidence", named, *confidences)


def classification_checks(model: Any, export: ExportFolder, cases: Sequence[Case]) -> Iterator[Check]:
    engine, torch_engine = OnnxClassifier(export, "cpu"), TorchClassifier(model)
    for case in cases:
        output, ours = model(**tensors(case)), engine.graph(**case.inputs)
        for name in engine.graph.outputs:
            yield compare_numbers(name, case.name, ours[name], output[name].numpy())
        found, expected = engine.classify(case.inputs), torch_engine.classify(case.inputs)
        best = [[[int(index)] for index in each.argmax(-1)] for each in (found, expected)]
        yield compare_sequences("best label", case.name, *best)
        yield compare_confidences("probability", case.name, found.max(-1), expected.max(-1))


def dual_checks(model: Any, export: ExportFolder, cases: Sequence[Case]) -> Iterator[Check]:
    import torch

    engine = OnnxDualEncoder(export, "cpu")
    for case in cases:
        theirs = model.get_sign_features(**tensors(case)).numpy()
        yield compare_numbers("sign_embeds", case.name, engine.sign_features(case.inputs), theirs)
    random = np.random.default_rng(0)
    for shape in ((1, 1), (3, 9)):
        ids = random.integers(3, model.config.text_config.vocab_size, shape)
        mask = np.ones_like(ids)
        mask[-1, (shape[1] + 1) // 2 :] = 0
        theirs = model.get_text_features(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        yield compare_numbers("text_embeds", f"{shape[0]} texts", engine.text_features(ids, mask), theirs)


def encoder_checks(model: Any, export: ExportFolder, cases: Sequence[Case]) -> Iterator[Check]:
    from slt_hf.export.engines import OnnxGraph
    from slt_hf.export.windows import WindowedEncoder

    windows = export.manifest.get("windows")
    graph: Any = OnnxGraph(export, "encoder" if windows is None else "window", "cpu")
    if windows is not None:
        graph = WindowedEncoder(graph, None, **windows)
    for case in cases:
        output, ours = model(**tensors(case)), graph(**case.inputs)
        states = output.last_hidden_state.numpy()
        yield compare_numbers("last_hidden_state", case.name, ours["last_hidden_state"], states)
        found, expected = ours["output_mask"].tolist(), output.attention_mask.tolist()
        yield compare_sequences("mask", case.name, found, expected)


def stream_checks(model: Any, export: ExportFolder, cases: Sequence[Case]) -> Iterator[Check]:
    """The stream's chunks joined, against the whole clip through PyTorch; and the sentence that comes of them."""
    import torch

    encoder = getattr(model, "encoder", model)  # a bare encoder is one itself
    engine = OnnxStreamEncoder(export, "cpu")
    for case in cases:
        poses, mask = case.inputs["pose_values"], case.inputs["attention_mask"]
        theirs = encoder(torch.from_numpy(poses), torch.from_numpy(mask))
        states, states_mask = engine.encode(poses, mask)
        steps = theirs.last_hidden_state.shape[1]
        yield compare_numbers("stream", case.name, states[:, :steps], theirs.last_hidden_state.numpy())
        if "bridge" in export.graphs and "prompt_input_ids" not in case.inputs:
            options = {"max_new_tokens": NEW_TOKENS}
            found = OnnxGenerator(export, "cpu").generate_from(engine.bridge(states, states_mask), **options)
            expected = TorchGenerator(model).generate(case.inputs, **options)
            rows = ([h.tokens for h in each] for each in (found, expected))
            yield compare_sequences("streamed tokens", case.name, *rows)


def tensors(case: Case) -> dict[str, Any]:
    import torch

    named = {name: value for name, value in case.inputs.items() if name != "forced_bos_token_id"}
    return {name: torch.as_tensor(value) for name, value in named.items()}
