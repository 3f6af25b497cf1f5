"""What of npbert takes arrays and numbers: each with arguments that are right, and what is to come of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from torture import losses64
from torture.encoder64 import Encoder64
from torture.odd_arrays import NOT_COUNTS, NOT_FLAGS, NOT_NAMES

Outputs = dict[str, np.ndarray]


@dataclass
class Call:
    """A call with plain arguments.

    Args:
        what: says what is called, for finds.
        run: calls npbert, with arguments by name.
        arguments: plain ones, in the order in which they are drawn.
        kinds: argument -> its kind of `odd_arrays.BY_KIND`; others are `choices`.
        choices: argument -> values that are refused, and values with the plain one that each stands for.
        truth: the outputs in a dtype, by the oracle; None where there is none.
        alone: the same of one row, as (arguments, row): its bits are to be those of the batch.
        slack: as `judge.against`.
    """

    what: str
    run: Callable[..., Outputs]
    arguments: dict[str, Any]
    kinds: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[tuple[Any, ...], tuple[tuple[Any, Any], ...]]] = field(default_factory=dict)
    truth: Callable[[Any], Outputs] | None = None
    alone: Callable[[int], dict[str, Any]] | None = None
    slack: float = 1.0
    names: tuple[str, ...] = ()  # besides the arguments', what an error may name


FLAG = (NOT_FLAGS, ((None, None), (np.bool_(True), True), (np.False_, False)))
STRICT_FLAG = ((*NOT_FLAGS, None), ())
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
INPUTS = {
    "input_ids": "integers",
    "attention_mask": "mask",
    "token_type_ids": "integers",
    "position_ids": "integers",
    "head_mask": "factors",
    "inputs_embeds": "floats",
    "labels": "integers",
    "start_positions": "positions",
    "end_positions": "positions",
}


@dataclass(frozen=True)
class Loaded:
    """A model, and the oracle of its folder."""

    model: Any
    kind: str
    config: dict[str, Any]
    tensors: Mapping[str, np.ndarray]
    slack: float
    exact: bool  # whether bits are promised to be the same in any batch

    def encoder(self, dtype: Any) -> Encoder64:
        return Encoder64(self.config, self.tensors, dtype)

    @property
    def types(self) -> int:
        return self.config.get("type_vocab_size", 0)

    @property
    def family(self) -> str:
        family: str = self.config["model_type"]
        return family


def padded_call(rng: np.random.Generator, loaded: Loaded) -> Call:
    """A model's call, with any of its arguments."""
    config, kind = loaded.config, loaded.kind
    B, S = int(rng.integers(1, 5)), int(rng.integers(1, 12))
    V, N, L = config["vocab_size"], 2, config.get("num_hidden_layers", 1)
    H, E = 8, config.get("embedding_size", 8)
    given: dict[str, Any] = {"input_ids": rng.integers(5, V, (B, S))}
    if rng.random() < 0.15:
        given = {"inputs_embeds": rng.standard_normal((B, S, E)).astype("<f4")}
    if rng.random() < 0.7:
        given["attention_mask"] = (rng.random((B, S)) < 0.8).astype(np.int64)
        given["attention_mask"][np.arange(B), rng.integers(0, S, B)] = 1
        if rng.random() < 0.15:  # one for each query, which attends to itself at least
            each = (rng.random((B, S, S)) < 0.6) | np.eye(S, dtype=bool)
            given["attention_mask"] = (each if rng.random() < 0.5 else each[:, None]).astype(np.int64)
    if loaded.types and rng.random() < 0.5:
        given["token_type_ids"] = rng.integers(0, loaded.types, (B, S))
    if rng.random() < 0.3:
        given["position_ids"] = rng.integers(2, 20, (B if rng.random() < 0.5 else 1, S))
    if rng.random() < 0.2:
        given["head_mask"] = rng.random(N if rng.random() < 0.5 else (L, N)).astype("<f4")
    labelled = kind != "Model" and rng.random() < 0.5  # what the mask excludes is computed then, too
    if labelled:
        given |= _labels(rng, loaded, B, S)
    for name in ("output_attentions", "output_hidden_states", "return_dict"):
        if rng.random() < 0.2:
            given[name] = bool(rng.random() < 0.5)
    assert config.get("hidden_size", config.get("dim")) == H

    def truth(dtype: Any) -> Outputs:
        return _padded_truth(loaded, given, (B, S), dtype)

    def alone(row: int) -> dict[str, Any]:
        single = dict(given)
        for name in ("input_ids", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids"):
            if name in single and len(single[name]) == B:
                single[name] = single[name][row : row + 1]
        return single

    return Call(
        f"{kind} called",
        lambda **arguments: _outputs(loaded.model(**arguments), kind),
        given,
        {name: _kind_of(name, given[name]) for name in INPUTS if name in given},
        {name: FLAG for name in ("output_attentions", "output_hidden_states", "return_dict") if name in given},
        truth,
        alone if loaded.exact and not labelled else None,
        loaded.slack,
    )


def _kind_of(name: str, value: np.ndarray) -> str:
    return "mask of four axes" if name == "attention_mask" and value.ndim == 4 else INPUTS[name]


def _labels(rng: np.random.Generator, loaded: Loaded, B: int, S: int) -> dict[str, Any]:
    count = len(loaded.config.get("id2label", "ab"))
    if loaded.kind == "ForQuestionAnswering":
        return {name: rng.integers(-1, S + 2, B) for name in ("start_positions", "end_positions")}
    if loaded.kind == "ForSequenceClassification":
        return {"labels": rng.integers(0, count, B)}
    labels = rng.integers(0, loaded.config["vocab_size"] if loaded.kind == "ForMaskedLM" else count, (B, S))
    labels[rng.random((B, S)) < 0.3] = -100
    return {"labels": labels}


def _outputs(output: Any, kind: str) -> Outputs:
    """All that a model gives, by name, whether as a dict or a tuple."""
    if isinstance(output, tuple):
        return {f"tuple {index}": np.asarray(part) for index, part in enumerate(output) if not isinstance(part, tuple)}
    found: Outputs = {}
    for name, value in output.items():
        if isinstance(value, tuple):
            found |= {f"{name}[{index}]": array for index, array in enumerate(value)}
        else:
            found[name] = np.asarray(value)
    return found


def _padded_truth(loaded: Loaded, given: Mapping[str, Any], shape: tuple[int, int], dtype: Any) -> Outputs:
    encoder = loaded.encoder(dtype)
    mask = given.get("attention_mask")
    ids = given.get("input_ids", np.zeros(shape, np.int64))
    names = {
        "token_type_ids": "types",
        "position_ids": "positions",
        "inputs_embeds": "embeds",
        "head_mask": "head_mask",
    }
    states = encoder.states(ids, mask, **{names[name]: given[name] for name in names if name in given})
    kept = np.ones(shape, bool) if mask is None or mask.ndim > 2 else mask == 1
    shown = kept.copy()
    shown[:, 0] = True  # position 0 is computed always
    found: Outputs = {}
    if loaded.kind == "Model":
        found["last_hidden_state"] = states[-1] * shown[..., None]
        if (pooled := encoder.pooled(states[-1])) is not None:
            found["pooler_output"] = pooled
        return found
    logits = encoder.logits(states[-1], loaded.kind)
    labels = given.get("labels")
    if loaded.kind == "ForQuestionAnswering":
        if "start_positions" not in given:
            return {name: logits[..., side] * shown for side, name in enumerate(("start_logits", "end_logits"))}
        ends = (given["start_positions"], given["end_positions"])
        clamped = [np.clip(end, 0, shape[1]) for end in ends]
        losses = [losses64.cross_entropy(logits[..., side], end, shape[1]) for side, end in enumerate(clamped)]
        return {"loss": np.asarray(sum(losses) / 2)}
    if labels is None:
        return {"logits": logits * shown[..., None] if logits.ndim == 3 else logits}
    return {"loss": np.asarray(losses64.cross_entropy(logits, labels))}


def lists_call(rng: np.random.Generator, loaded: Loaded) -> Call:
    """`predict`, of lists of ids."""
    rows = _rows(rng, loaded)
    given: dict[str, Any] = {"ids": rows}
    if loaded.types and rng.random() < 0.5:
        given["token_types"] = [rng.integers(0, loaded.types, len(row)).tolist() for row in rows]

    def run(**arguments: Any) -> Outputs:
        return {f"row {index}": row for index, row in enumerate(loaded.model.predict(**arguments))}

    def truth(dtype: Any) -> Outputs:
        encoder, found = loaded.encoder(dtype), {}
        for index, row in enumerate(rows):
            types = np.array([given["token_types"][index]]) if "token_types" in given else None
            last = encoder.states(np.array([row]), types=types)[-1]
            found[f"row {index}"] = (last if loaded.kind == "Model" else encoder.logits(last, loaded.kind))[0]
        return found

    def alone(row: int) -> dict[str, Any]:
        return {name: [value[row]] for name, value in given.items()}

    of = dict.fromkeys(given, "lists")
    return Call("predict", run, given, of, {}, truth, alone if loaded.exact else None, loaded.slack)


def embed_call(rng: np.random.Generator, loaded: Loaded) -> Call:
    """`embed`, of lists of ids."""
    rows = _rows(rng, loaded)
    modes = POOLINGS[(begin := rng.integers(0, 6)) : begin + rng.integers(1, 3)]
    given: dict[str, Any] = {"ids": rows, "pooling": modes[0] if rng.random() < 0.6 else modes}
    if rng.random() < 0.5:
        given["normalize"] = bool(rng.random() < 0.5)
    if rng.random() < 0.4 and "cls" not in modes:
        given["skip"] = int(rng.integers(0, 4))
    skip, unit = given.get("skip", 0), given.get("normalize", False)
    used = modes[:1] if isinstance(given["pooling"], str) else modes

    def truth(dtype: Any) -> Outputs:
        encoder = loaded.encoder(dtype)
        vectors = []
        for row in rows:
            x = encoder.states(np.array([row]))[-1][0]
            vectors.append(np.concatenate([pooled(x, mode, min(skip, len(row) - 1)) for mode in used]))
        found = np.stack(vectors)
        return {
            "vectors": found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), dtype(1e-12)) if unit else found
        }

    def alone(row: int) -> dict[str, Any]:
        return {**given, "ids": [rows[row]]}

    choices = {
        "pooling": (NOT_NAMES, ((list(used), used), (np.str_(used[0]), used[0]))[: 2 if len(used) == 1 else 1]),
        "normalize": STRICT_FLAG,
        "skip": ((*NOT_COUNTS[:-2], 2**70), ((np.int64(skip), skip), (np.uint8(skip), skip))),
    }
    return Call(
        "embed",
        lambda **arguments: {"vectors": loaded.model.embed(**arguments)},
        given,
        {"ids": "lists"},
        {name: values for name, values in choices.items() if name in given},
        truth,
        alone if loaded.exact else None,
        loaded.slack,
    )


def pooled(x: np.ndarray, mode: str, skip: int) -> np.ndarray:
    """x [S, H] of one text to [H], without the first `skip` rows, as sentence-transformers leaves out a prompt."""
    weights = np.arange(1, len(x) + 1, dtype=x.dtype)[skip:]
    x = x[skip:]
    if mode == "weightedmean":
        return (x * weights[:, None]).sum(0) / weights.sum()
    if mode == "mean_sqrt_len_tokens":
        return x.sum(0) / np.sqrt(np.asarray(len(x), x.dtype))
    found: np.ndarray = {"cls": x[0], "max": x.max(0), "mean": x.mean(0), "lasttoken": x[-1]}[mode]
    return found


def table_call(rng: np.random.Generator, loaded: Loaded) -> Call:
    """The word embeddings, called as transformers' are."""
    shape = tuple(rng.integers(1, 4, rng.integers(1, 4)))
    ids = rng.integers(0, loaded.config["vocab_size"], shape)

    def truth(dtype: Any) -> Outputs:
        return {"rows": loaded.encoder(dtype).tensor("embeddings.word_embeddings.weight")[ids]}

    def run(input_ids: Any, **more: Any) -> Outputs:
        return {"rows": loaded.model.get_input_embeddings()(input_ids, **more)}

    return Call("the word embeddings", run, {"input_ids": ids}, {"input_ids": "rows"}, {}, truth, slack=loaded.slack)


def _rows(rng: np.random.Generator, loaded: Loaded) -> list[list[int]]:
    counts = rng.integers(1, 12, rng.integers(1, 5))
    return [rng.integers(5, loaded.config["vocab_size"], count).tolist() for count in counts]


SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


def similarity_call(rng: np.random.Generator, model: Any) -> Call:
    """`similarity` and `similarity_pairwise` of a SentenceTransformer."""
    name, pairs = str(rng.choice(SIMILARITIES)), bool(rng.random() < 0.5)
    n, m, H = (int(count) for count in rng.integers(1, 5, 3))
    a, b = rng.standard_normal((n, H)).astype("<f4"), rng.standard_normal((n if pairs else m, H)).astype("<f4")

    def run(**arguments: Any) -> Outputs:
        model.similarity_fn_name = name
        call = model.similarity_pairwise if pairs else model.similarity
        return {"scores": call(**arguments)}

    def truth(dtype: Any) -> Outputs:
        x, y = a.astype(dtype)[:, None], b.astype(dtype)[None]
        if name == "cosine":
            x, y = (side / np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-12) for side in (x, y))
        found = {
            "cosine": lambda: (x * y).sum(-1),
            "dot": lambda: (x * y).sum(-1),
            "euclidean": lambda: -np.sqrt(np.square(x - y).sum(-1)),
            "manhattan": lambda: -np.abs(x - y).sum(-1),
        }[name]()
        return {"scores": np.diagonal(found) if pairs else found}

    kinds = {"embeddings1": "vectors", "embeddings2": "vectors"}
    what = f"similarity{'_pairwise' if pairs else ''} by {name}"
    return Call(what, run, {"embeddings1": a, "embeddings2": b}, kinds, {}, truth, slack=4.0)
