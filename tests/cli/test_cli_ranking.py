"""`npbert similarity` and `rerank`: one query or several, texts or vectors, the best of a stream of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_input import standard_input

from npbert import CrossEncoder, SentenceTransformer
from npbert.cli import ranking
from npbert.cli.main import main
from npbert.cli.ranking import Best

QUERIES = ["the cat", "over"]
DOCUMENTS = ["fox", "the cat", "quick", "the fox", "the cat"]


@pytest.fixture(scope="module")
def reranker(task_folder: Callable[..., Path]) -> Path:
    return task_folder("BertForSequenceClassification", labels=("SCORE",))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[Any]]:
    """run(argument, ...) -> the JSON lines that it prints."""

    def lines(*arguments: object, status: int = 0) -> list[Any]:
        capsys.readouterr()
        assert main([*map(str, arguments)]) == status
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return lines


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_the_best_of_a_stream() -> None:
    """As a stable sort of all."""
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 50, (3, 4000)).astype(float)  # many are equal
    for most in (1, 7, 3000, None):
        best = Best(3, most)
        for begin in range(0, 4000, 250):
            ids = range(begin, begin + 250)
            best.add(ids, scores[:, begin : begin + 250], [{"n": number} for number in ids])
            assert most is None or len(best._fields) <= most + max(most, ranking.LATER) + 250
        for query in range(3):
            wanted = np.argsort(-scores[query], kind="stable")[:most].tolist()
            assert [*best.ranked(query)] == [(n, scores[query, n], {"n": n}) for n in wanted]
    assert [*Best(1, 5).ranked(0)] == []


@pytest.mark.parametrize("top_k", [None, 1, 3])
def test_several_queries(
    top_k: int | None, encoder: Path, reranker: Path, tmp_path: Path, run: Callable[..., list[Any]]
) -> None:
    queries = write(tmp_path / "queries.txt", *QUERIES)
    documents = write(tmp_path / "docs.jsonl", *(json.dumps({"id": i, "text": t}) for i, t in enumerate(DOCUMENTS)))
    options = [] if top_k is None else ["--top-k", top_k]
    model, scorer = SentenceTransformer(encoder), CrossEncoder(reranker)
    scores = {
        encoder: model.similarity(model.encode(QUERIES), model.encode(DOCUMENTS)).astype(float).round(6),
        reranker: scorer.predict([(q, d) for q in QUERIES for d in DOCUMENTS]).reshape(2, 5),
    }
    for verb, folder in (("similarity", encoder), ("rerank", reranker)):
        wanted = [
            {"query": query, "corpus_id": int(i), "score": float(row[i]), "id": int(i), "text": DOCUMENTS[i]}
            for query, row in zip(QUERIES, scores[folder], strict=True)
            for i in np.argsort(-row, kind="stable")[:top_k]
        ]
        assert run(verb, folder, "--queries", queries, "--input", documents, *options) == wanted
        mine = [{key: line[key] for key in ("corpus_id", "score", "text")} for line in wanted]
        # Where --queries is given, all arguments are texts.
        texts = [{"query": line["query"], **rest} for line, rest in zip(wanted, mine, strict=True)]
        assert run(verb, folder, *DOCUMENTS, "--queries", queries, *options) == texts
        alone = [line for line, asked in zip(mine, wanted, strict=True) if asked["query"] == QUERIES[0]]
        assert run(verb, folder, QUERIES[0], *DOCUMENTS, *options) == alone


def test_a_query_that_says_more_is_repeated(encoder: Path, tmp_path: Path, run: Callable[..., list[Any]]) -> None:
    queries = write(tmp_path / "queries.jsonl", '{"id": "q1", "ask": "cat"}', '{"ask": "fox"}')
    first, second = run("similarity", encoder, "--queries", queries, "--query-field", "ask", "fox")
    assert (first["query"], second["query"]) == ({"id": "q1", "ask": "cat"}, "fox")
    assert second["score"] == 1


def test_vectors(encoder: Path, tmp_path: Path, run: Callable[..., list[Any]]) -> None:
    texts = write(tmp_path / "texts.txt", *DOCUMENTS)
    vectors = tmp_path / "vectors.npy"
    assert run("embed", encoder, "--input", texts, "--output", vectors) == []
    wanted = run("similarity", encoder, "the cat", "--input", texts)
    assert run("similarity", encoder, "the cat", "--input", texts, "--vectors", vectors) == wanted
    alone = [{key: line[key] for key in ("corpus_id", "score")} for line in wanted]
    assert run("similarity", encoder, "the cat", "--vectors", vectors) == alone
    assert run("similarity", encoder, "the cat", "--vectors", vectors, "--top-k", 2) == alone[:2]
    for dtype in (np.float64, np.float16):
        np.save(vectors, np.load(vectors).astype(dtype))
        found = run("similarity", encoder, "the cat", "--vectors", vectors)
        assert sorted(line["corpus_id"] for line in found) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("array", "texts", "message"),
    [
        (np.ones((2, 5), np.float32), [], "wanted vectors of 36 numbers, as this model makes them, found 5"),
        (np.ones((2, 36), np.int64), [], "wanted floats [vectors, numbers], found int64 [2, 36]"),
        (np.ones(36, np.float32), [], "wanted floats [vectors, numbers], found float32 [36]"),
        (np.asfortranarray(np.ones((2, 36))), [], "wanted floats [vectors, numbers]"),
        (None, [], "wanted an .npy file of vectors"),
        (np.ones((2, 36)), ["a"], "wanted a vector for each input of standard input, found 2 and fewer inputs"),
        (np.ones((2, 36)), ["a", "b", "c"], "wanted a vector for each input of standard input, found 2 and more"),
        (np.full((2, 36), np.nan), [], "vector 1: wanted finite numbers"),
        ("short", [], "wanted 2 vectors, found 1"),
    ],
)
def test_vectors_refused(
    array: Any,
    texts: list[str],
    message: str,
    encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "vectors.npy"
    if array is None:
        path.write_bytes(b"no array")
    else:
        np.save(path, np.ones((2, 36)) if isinstance(array, str) else array)
    if isinstance(array, str):
        path.write_bytes(path.read_bytes()[:-8])
    monkeypatch.setattr(sys, "stdin", standard_input("".join(text + "\n" for text in texts).encode()))
    given = ["--input", "-"] if texts else []
    assert main(["similarity", str(encoder), "cat", "--vectors", str(path), *given]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"npbert: error: {path}: ")
    assert message in error
    assert error.count("\n") == 1


def test_what_can_t_be_ranked_is_skipped(
    encoder: Path, reranker: Path, tmp_path: Path, run: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    documents = write(tmp_path / "docs.jsonl", '"fox"', '{"text": "\\ud800"}', '"cat"', "{")
    for verb, folder in (("similarity", encoder), ("rerank", reranker)):
        assert main([verb, str(folder), "cat", "--input", str(documents)]) == 1
        output = capsys.readouterr()
        assert output.out == ""  # what is best of all is not known
        assert output.err.startswith(f"npbert: error: {documents}: line 2: wanted valid Unicode")
        found = run(verb, folder, "cat", "--input", documents, "--on-error", "skip", status=1)
        assert sorted((line["corpus_id"], line["text"]) for line in found) == [(0, "fox"), (2, "cat")]
        queries = write(tmp_path / "queries.jsonl", '"cat"', '"\\ud800"')
        assert main([verb, str(folder), "--queries", str(queries), "cat"]) == 1
        assert capsys.readouterr().err.startswith(f"npbert: error: {queries}: line 2: wanted valid Unicode")


def test_prompts_and_lengths(
    encoder: Path, reranker: Path, run: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SentenceTransformer(encoder)
    given = ["--prompt", "query: ", "--text-prompt", "the ", "--truncate-dim", 8, "--similarity-fn-name", "dot"]
    wanted = model.encode("cat", prompt="query: ", truncate_dim=8) @ model.encode("fox", prompt="the ", truncate_dim=8)
    (line,) = run("similarity", encoder, "cat", "fox", *given)
    assert line["score"] == pytest.approx(float(wanted), rel=1e-5, abs=1e-6)
    scorer = CrossEncoder(reranker)
    (line,) = run("rerank", reranker, "cat", "fox", "--prompt", "query: ")
    assert line["score"] == float(scorer.predict(("cat", "fox"), prompt="query: "))
    one, two = run("similarity", encoder, "cat", "the fox quick", "the fox over", "--max-length", 4)
    assert one["score"] == two["score"]
    one, two = run("rerank", reranker, "cat", "the fox quick", "the fox over", "--max-length", 6)
    assert one["score"] == two["score"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no query is given: name one, or use --queries FILE"),
        (["cat", "fox", "--query-field", "a"], "--query-field: wanted with --queries FILE"),
        (["--queries", "-"], "--queries: wanted another file than the texts come from"),
    ],
)
def test_misuse(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", standard_input(b"fox\n"))
    for verb in ("similarity", "rerank"):
        with pytest.raises(SystemExit) as caught:
            main([verb, "m", *arguments])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
