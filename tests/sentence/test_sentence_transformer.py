"""SentenceTransformer against sentence-transformers: vectors, shapes, folders, and what is refused."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_folders import CLOSE, SAME, TEXTS, oracle, with_files
from sentences import sentences

import npbert
from npbert import SentenceTransformer


@pytest.fixture(scope="module")
def model(minilm: Path) -> SentenceTransformer:
    return SentenceTransformer(minilm)


@pytest.fixture(scope="module")
def truth(minilm: Path) -> Any:
    return oracle(minilm)


@pytest.fixture
def folder(minilm: Path, tmp_path: Path) -> Callable[..., Path]:
    """folder({file: content, None to leave it out}) -> all-MiniLM-L6-v2's folder with these files instead."""
    return partial(with_files, minilm, tmp_path)


# --- the same vectors


def test_a_thousand_sentences(model: SentenceTransformer, truth: Any) -> None:
    texts = sentences(1000)
    lengths = [len(ids) for ids in model.tokenizer.encode_ids(texts)]
    assert min(lengths) <= 4
    assert max(lengths) > 256  # some are cut
    found = model.encode(texts)
    wanted = truth.encode(texts)
    assert found.dtype == np.float32
    assert found.shape == (1000, 384)
    error = np.abs(found - wanted).max(axis=1)
    worst = int(error.argmax())
    assert error[worst] <= SAME, f"off by {error[worst]:.3g} for {texts[worst]!r}"


def test_the_reference_backend(minilm: Path, model: SentenceTransformer) -> None:
    texts = sentences(40)
    reference = SentenceTransformer(minilm, backend="reference")
    np.testing.assert_allclose(reference.encode(texts), model.encode(texts), rtol=0, atol=SAME)


def test_same_bits_whatever_is_around(model: SentenceTransformer) -> None:
    texts = [*sentences(61), *TEXTS]
    order = np.random.default_rng(0).permutation(len(texts))
    wanted = model.encode(texts)
    alone = np.stack([model.encode(text) for text in texts])
    np.testing.assert_array_equal(alone, wanted)
    for batch_size in (1, 7, 1000):
        np.testing.assert_array_equal(model.encode(texts, batch_size=batch_size), wanted)
    np.testing.assert_array_equal(model.encode([texts[index] for index in order]), wanted[order])
    before = npbert.get_num_threads()
    try:
        for threads in (1, 3):
            npbert.set_num_threads(threads)
            np.testing.assert_array_equal(model.encode(texts), wanted)
    finally:
        npbert.set_num_threads(before)


def test_two_threads_at_once(model: SentenceTransformer) -> None:
    texts = sentences(40)
    wanted = model.encode(texts)
    found: list[Any] = [None, None]

    def work(index: int) -> None:
        found[index] = model.encode(texts, batch_size=3 + index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found[0], wanted)
    np.testing.assert_array_equal(found[1], wanted)


# --- arguments and shapes


def test_shapes(model: SentenceTransformer) -> None:
    one = model.encode("a text")
    assert one.shape == (384,)
    assert one.dtype == np.float32
    none = model.encode([])
    assert none.shape == (0, 384)
    assert none.dtype == np.float32
    for several in (["a text"], ("a text",), iter(["a text"]), np.array(["a text"])):
        np.testing.assert_array_equal(model.encode(several), one[None, :])
    listed = model.encode(["a text"] * 2, convert_to_numpy=False)
    assert isinstance(listed, list)
    np.testing.assert_array_equal(listed[1], one)
    assert model.get_embedding_dimension() == model.get_sentence_embedding_dimension() == 384
    assert model.device == "cpu"


@pytest.mark.parametrize(
    "arguments",
    [{"truncate_dim": 100}, {"truncate_dim": 100, "normalize_embeddings": True}],
)
def test_truncated(model: SentenceTransformer, truth: Any, arguments: dict[str, Any]) -> None:
    np.testing.assert_allclose(model.encode(TEXTS, **arguments), truth.encode(TEXTS, **arguments), rtol=0, atol=SAME)
    assert model.encode(TEXTS[0], **arguments).shape == truth.encode(TEXTS[0], **arguments).shape


def test_truncated_beyond_the_width(model: SentenceTransformer, minilm: Path) -> None:
    """Nothing is cut, as sentence-transformers has it, and a warning says so."""
    with pytest.warns(UserWarning, match="truncate_dim: 1000 is beyond the 384 numbers of a vector: none is cut off"):
        found = model.encode(TEXTS, truncate_dim=1000)
    np.testing.assert_array_equal(found, model.encode(TEXTS))
    with pytest.warns(UserWarning, match="truncate_dim: 385 is beyond the 384 numbers"):
        assert SentenceTransformer(minilm, truncate_dim=385).get_embedding_dimension() == 384


def test_truncated_by_the_model(minilm: Path) -> None:
    model = SentenceTransformer(minilm, truncate_dim=64)
    assert model.get_embedding_dimension() == 64
    assert model.encode([]).shape == (0, 64)
    assert model.encode("a", truncate_dim=10).shape == (10,)


def test_token_embeddings(model: SentenceTransformer, truth: Any) -> None:
    found = model.encode(TEXTS, output_value="token_embeddings")
    wanted = truth.encode(TEXTS, output_value="token_embeddings")
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=0, atol=CLOSE)
    single = model.encode(TEXTS[0], output_value="token_embeddings")
    np.testing.assert_array_equal(single, found[0])


def test_all_outputs(model: SentenceTransformer, truth: Any) -> None:
    found = model.encode(TEXTS, output_value=None)
    wanted = truth.encode(TEXTS, output_value=None)
    vectors = model.encode(TEXTS)
    for mine, theirs, vector in zip(found, wanted, vectors, strict=True):
        length = int(theirs["attention_mask"].sum())
        np.testing.assert_array_equal(mine["input_ids"], theirs["input_ids"].numpy()[:length])
        np.testing.assert_array_equal(mine["attention_mask"], np.ones(length))
        assert mine["token_embeddings"].shape == (length, 384)
        np.testing.assert_array_equal(mine["sentence_embedding"], vector)
    assert set(model.encode("one", output_value=None)) == set(found[0])


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precision(model: SentenceTransformer, precision: Any) -> None:
    from sentence_transformers.util import quantize_embeddings

    texts = sentences(120)
    found = model.encode(texts, precision=precision)
    wanted = quantize_embeddings(model.encode(texts), precision)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)
    width = 48 if "binary" in precision else 384
    assert model.encode([], precision=precision).shape == (0, width)
    assert model.encode([], precision=precision).dtype == wanted.dtype


def test_a_range_needs_several_texts(model: SentenceTransformer) -> None:
    assert model.encode("one", precision="ubinary").shape == (48,)
    with pytest.raises(ValueError, match="wanted several texts to take each column's range from, found one"):
        model.encode("one", precision="int8")


def test_prompts(folder: Callable[..., Path]) -> None:
    settings = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "passage"}
    path = folder({"config_sentence_transformers.json": settings})
    model, truth = SentenceTransformer(path), oracle(path)
    assert model.prompts == truth.prompts
    calls: list[tuple[str, dict[str, Any]]] = [
        ("encode", {}),
        ("encode", {"prompt_name": "query"}),
        ("encode", {"prompt": "title: "}),
        ("encode", {"prompt": ""}),
        ("encode_query", {}),
        ("encode_query", {"prompt_name": "passage"}),
        ("encode_document", {}),
        ("encode_document", {"prompt": "x "}),
    ]
    for method, arguments in calls:
        found = getattr(model, method)(TEXTS, **arguments)
        wanted = getattr(truth, method)(TEXTS, **arguments)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=SAME, err_msg=f"{method} {arguments}")
    assert SentenceTransformer(path, prompts={"query": "ask: "}).prompts["query"] == "ask: "
    assert SentenceTransformer(path, default_prompt_name="query").default_prompt_name == "query"


def test_max_seq_length(minilm: Path, truth: Any) -> None:
    model = SentenceTransformer(minilm)
    assert model.max_seq_length == truth.max_seq_length == 256
    model.max_seq_length = 8
    long = "one two three four five six seven eight nine ten"
    short = "one two three four five six"
    np.testing.assert_array_equal(model.encode(long), model.encode(short))
    model.max_seq_length = None  # as far as the model goes
    assert model.max_seq_length == 512
    assert len(model.encode("word " * 1000, output_value="token_embeddings")) == 512
    for wrong in (0, 513, 8.0, True):
        with pytest.raises(ValueError, match=r"max_seq_length: wanted a whole number from 1 to 512, .* found"):
            model.max_seq_length = wrong  # type: ignore[assignment]


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity(minilm: Path, truth: Any, name: Any) -> None:
    model = SentenceTransformer(minilm, similarity_fn_name=name)
    truth.similarity_fn_name = name
    generator = np.random.default_rng(0)
    a = generator.standard_normal((5, 384)).astype(np.float32)
    b = generator.standard_normal((3, 384)).astype(np.float32)
    a[2] = 0
    wanted = truth.similarity(a, b).numpy()
    # Sums of 384 terms in another order: each adds a rounding at most of the sum of magnitudes.
    bound = 384 * np.finfo(np.float32).eps * np.abs(wanted).max()
    np.testing.assert_allclose(model.similarity(a, b), wanted, rtol=0, atol=bound)
    np.testing.assert_allclose(model.similarity(a[0], b[0]), wanted[:1, :1], rtol=0, atol=bound)
    np.testing.assert_allclose(model.similarity(list(a), b.tolist()), wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_pairwise(minilm: Path, truth: Any, name: Any) -> None:
    model = SentenceTransformer(minilm, similarity_fn_name=name)
    truth.similarity_fn_name = name
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((2, 5, 384)).astype(np.float32)
    a[2] = 0
    wanted = truth.similarity_pairwise(a, b).numpy()
    bound = 384 * np.finfo(np.float32).eps * np.abs(wanted).max()
    found = model.similarity_pairwise(a, b)
    assert found.shape == (5,)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=bound)
    np.testing.assert_allclose(model.similarity_pairwise(a[1], b[1]), wanted[1:2], rtol=0, atol=bound)
    with pytest.raises(ValueError, match="wanted as many vectors in both, found 5 and 4"):
        model.similarity_pairwise(a, b[:4])


def test_similarity_refuses(model: SentenceTransformer) -> None:
    with pytest.raises(ValueError, match="wanted vectors of one length, found 3 and 4"):
        model.similarity(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"embeddings2: wanted an array \[H\] or \[n, H\], found shape \(1, 1, 1\)"):
        model.similarity(np.zeros(3), np.zeros((1, 1, 1)))
    with pytest.raises(ValueError, match="embeddings1: wanted vectors of numbers, found list"):
        model.similarity(["text"], np.zeros(3))  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"similarity_fn_name: wanted one of 'cosine', .*, found 'maxsim'"):
        model.similarity_fn_name = "maxsim"


def test_a_text_without_a_token(encoder: Path, tmp_path: Path) -> None:
    """Of a tokenizer that puts nothing around texts: named by its place among all texts."""
    SentenceTransformer(encoder, backend="reference").save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "post_processor": None}))
    model = SentenceTransformer(tmp_path, backend="reference")
    with pytest.raises(ValueError, match=r"^sentences\[40\]: wanted a text of at least one token, found ' '$"):
        model.encode(["a"] * 40 + [" "])
    assert model.encode([" "], prompt="a").shape[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"convert_to_tensor": True},
            "convert_to_tensor: wanted False, found True: npbert gives NumPy arrays",
        ),
        ({"device": "cuda"}, "device: wanted one of None, 'cpu', found 'cuda'"),
        ({"batch_size": 0}, "batch_size: wanted a whole number, 1 or more, found 0"),
        (
            {"output_value": "tokens"},
            "output_value: wanted one of 'sentence_embedding', 'token_embeddings', None",
        ),
        ({"precision": "float16"}, "precision: wanted one of 'float32', 'int8', .* found 'float16'"),
        ({"normalize_embeddings": 1}, "normalize_embeddings: wanted True or False, found 1"),
        ({"convert_to_numpy": None}, "convert_to_numpy: wanted True or False, found None"),
        ({"prompt": 3}, r"prompt: wanted a text \(str\), found 3"),
        ({"prompt": "\ud800"}, "prompt: wanted valid Unicode, found a lone surrogate"),
        ({"prompt_name": 3}, r"prompt_name: wanted one of \['document', 'query'\], found 3"),
        ({"prompt_name": "nope"}, r"prompt_name: wanted one of \['document', 'query'\], found 'nope'"),
        ({"truncate_dim": -1}, "truncate_dim: wanted a positive whole number, found -1"),
        ({"sentences": b"bytes"}, "sentences: wanted a text or a list of texts, found bytes"),
        ({"sentences": 3}, "sentences: wanted a text or a list of texts, found int"),
        ({"sentences": None}, "sentences: wanted a text or a list of texts, found None"),
        ({"sentences": ["a"] * 40 + [None]}, r"sentences\[40\]: wanted a text \(str\), found None"),
        ({"sentences": ["a", b"b"]}, r"sentences\[1\]: wanted a text \(str\), found bytes"),
        ({"sentences": ["a", "b\udc80"]}, r"sentences\[1\]: wanted valid Unicode, found a lone surrogate"),
        ({"sentences": "\ud800"}, "sentences: wanted valid Unicode, found a lone surrogate"),
    ],
)
def test_arguments_refused(model: SentenceTransformer, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        model.encode(**{"sentences": "a", **arguments})
    # what others raise for what is no text
    assert isinstance(caught.value, TypeError) == ("sentences" in arguments or arguments.get("prompt") == "\ud800")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu"}, "device: wanted None or 'cpu', .*found 'tpu'"),
        ({"truncate_dim": 0}, "truncate_dim: wanted a positive whole number, found 0"),
        ({"prompts": ["query"]}, r"prompts: wanted names and texts, found \['query'\]"),
        ({"prompts": {"query": 3}}, "prompts: wanted names and texts, found {'query': 3}"),
        ({"default_prompt_name": "x"}, "default_prompt_name: wanted one of .* found 'x'"),
        ({"similarity_fn_name": ["cosine"]}, "similarity_fn_name: wanted one of 'cosine', "),
        ({"default_prompt_name": ["query"]}, "default_prompt_name: wanted one of "),
        ({"similarity_fn_name": "x"}, "similarity_fn_name: wanted one of .* found 'x'"),
        ({"backend": "cuda"}, "backend: wanted one of cpu, reference, found 'cuda'"),
        ({"backend": None}, "backend: wanted one of cpu, reference, found None"),
    ],
)
def test_constructor_refuses(minilm: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SentenceTransformer(minilm, **arguments)


# --- the progress bar


@pytest.mark.parametrize(
    ("show", "terminal", "delay", "drawn"),
    [
        (True, False, 9.0, True),
        (None, True, 0.0, True),
        (None, True, 9.0, False),
        (None, False, 0.0, False),
        (False, True, 0.0, False),
    ],
)
def test_progress_bar(
    model: SentenceTransformer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    show: bool | None,
    terminal: bool,
    delay: float,
    drawn: bool,
) -> None:
    import sys

    monkeypatch.setattr("npbert.progress.DELAY_S", delay)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    model.encode(["a"] * 12, batch_size=4, show_progress_bar=show)
    output = capsys.readouterr()
    assert output.out == ""
    assert bool(re.search(r"Embedding.*\d+/12", output.err)) == drawn
    assert bool(output.err) == drawn
