"""The benchmarks' own arithmetic and tables; nothing is timed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npbert_kernels.ops import Backend

import npbert
from benchmarks import decisions, docstrings, gpu, parity, quality, readme, report, run, targets, tasks, worker
from benchmarks.cases import CASES, TEXT_CASES, IdsCase, Sizes, flops
from benchmarks.engines import ENGINES, OWN, PEERS_TO_BEAT, REDUCED
from benchmarks.gemm import record_linears
from benchmarks.models import MODELS, TASK_MODELS, Model
from benchmarks.tasks import TASK_CASES, TASKS
from benchmarks.timing import Timing, ratio

BASE = Sizes(12, 768, 3072)
MINILM = Sizes(6, 384, 1536)


def test_ragged_is_the_batch_that_was_promised() -> None:
    ragged = CASES["ragged"]
    assert (len(ragged.lengths), ragged.tokens, ragged.padded_tokens) == (32, 785, 1760)
    assert (min(ragged.lengths), max(ragged.lengths)) == (6, 55)


def test_texts_have_the_tokens_that_were_promised(minilm: Path) -> None:
    tokenizer = npbert.AutoTokenizer.from_pretrained(minilm)
    for name in TASKS:
        for case in TEXT_CASES.values():
            folder = Model(name, minilm)
            texts = tasks.texts_of(folder, case)
            assert [len(ids) for ids in tokenizer(texts)["input_ids"]] == list(case.lengths)
            assert [text.count("[MASK]") for text in texts] == [int(name == "fill-mask")] * 32
            assert texts == tasks.texts_of(folder, case)


def test_scores_are_those_of_all_answers_in_order() -> None:
    one, two = {"label": "A", "score": 0.25}, {"label": "B", "score": 0.5}
    assert tasks.scores([one, two]).tolist() == [0.25, 0.5]
    assert tasks.scores([[one, two], [], [two]]).tolist() == [0.25, 0.5, 0.5]


@pytest.mark.parametrize("name", CASES)
def test_feed_masks_exactly_what_is_padded(name: str) -> None:
    case = CASES[name]
    feed = case.feed()
    assert feed["attention_mask"].sum(axis=1).tolist() == list(case.lengths)
    assert feed["input_ids"].shape == feed["token_type_ids"].shape == feed["attention_mask"].shape
    assert not feed["input_ids"][feed["attention_mask"] == 0].any()
    assert (feed["input_ids"][feed["attention_mask"] == 1] >= 1000).all()


def test_flops_count_every_product_once() -> None:
    """Against the products written out for one layer and two sequences."""
    hidden, inner, lengths = 8, 20, (3, 5)
    products = [(n, hidden, hidden) for n in lengths for _ in range(4)]
    products += [(n, hidden, inner) for n in lengths] + [(n, inner, hidden) for n in lengths]
    products += [(n, n, hidden) for n in lengths for _ in range(2)]  # all heads together: N D = H
    assert flops(Sizes(1, hidden, inner), lengths) == sum(2 * m * n * k for m, n, k in products)
    assert flops(Sizes(7, hidden, inner), lengths) == 7 * flops(Sizes(1, hidden, inner), lengths)


@pytest.mark.parametrize(
    ("sizes", "milliseconds"),
    [(MINILM, (2.9, 24.5, 196, 144)), (BASE, (23.3, 191, 1528, 1147))],
    ids=["MiniLM", "base"],
)
def test_flops_give_the_known_limits(sizes: Sizes, milliseconds: tuple[float, ...]) -> None:
    """Of a core of 117 GFLOP/s, as published for another machine."""
    for case, wanted in zip(CASES.values(), milliseconds, strict=True):
        assert flops(sizes, case.lengths) / 117e9 * 1e3 == pytest.approx(wanted, rel=0.01)


def test_weights_are_those_of_the_encoder() -> None:
    assert BASE.weights == 84_934_656
    assert MINILM.weights == 10_616_832


def test_a_turn_leaves_out_its_first_call_unless_it_is_the_only_one() -> None:
    calls = []
    assert len(worker.turn(lambda: calls.append(0), seconds=0)) == 1
    assert len(calls) == 1
    calls.clear()
    times = worker.turn(lambda: calls.append(0), seconds=0.01)
    assert len(times) == len(calls) - 1 > 1


def test_timing_forms_ratios_and_shares_within_a_round(tmp_path: Path) -> None:
    """The machine is twice as slow in the second round, for every engine: neither ratio nor share may see it."""
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 20}')
    model, work = Model("small", tmp_path), flops(Sizes(1, 8, 20), (16,))
    rates = [1e9, 0.5e9]

    def timing(share: float) -> dict[str, Any]:
        seconds = [work / (2 * rate * share) for rate in rates]
        return Timing(model, 2, "1x16", "npbert", "float32", [[s, s] for s in seconds], rates, 0, 0.0).record()

    fast, slow = timing(0.9), timing(0.3)
    assert fast["share_of_limit"] == pytest.approx(0.9)
    assert slow["share_of_limit"] == pytest.approx(0.3)
    assert ratio(slow, fast) == pytest.approx(3)
    assert fast["calls"] == 4
    assert fast["q1_ms"] < fast["median_ms"] < fast["q3_ms"]


def a_timing(
    engine: str, milliseconds: float, threads: int = 1, case: str = "1x16", dtype: str = "float32"
) -> dict[str, Any]:
    return {
        "model": "BERT-base", "threads": threads, "case": case, "engine": engine, "dtype": dtype, "calls": 3,
        "median_ms": milliseconds, "q1_ms": milliseconds * 0.99, "q3_ms": milliseconds * 1.01,
        "round_medians_ms": [milliseconds] * 3, "rates": [1e11], "share_of_limit": 10 / milliseconds,
        "disturbed_rounds": 0, "distance": 1e-6,
    }  # fmt: skip


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {
            "cpu": "A CPU", "family_model": "1/2", "cores": 2, "caches": [], "features": ["avx2"],
            "isa": "avx2", "system": "Linux", "python": "3.12", "versions": {"numpy": "2.0"},
        },
        "rate": 1e11,
        "read_rate": 2e10,
        "weight_bytes": {"BERT-base": 340_000_000},
        "timings": [
            *(a_timing(e, t) for e, t in {"npbert": 12.5, "torch": 50, "OpenVINO": 20, "CTranslate2": 15}.items()),
            *(a_timing(e, t, threads=2) for e, t in {"npbert": 8.0, "torch": 6.0}.items()),
            *(
                a_timing(e, t, case="8x128", dtype="int8")
                for e, t in {"npbert": 4.0, "OpenVINO": 5.0, "npbert, float32": 12.0}.items()
            ),
        ],
        "scaling": [a_timing("npbert", 12.0, case="1x128"), a_timing("npbert", 6.4, threads=2, case="1x128")],
        "tasks": [
            {**a_timing(e, t, case="32 mixed"), "model": "NER"}
            for e, t in {"npbert": 100.0, "torch": 300.0, "torch, batched": 190.0}.items()
        ],
        "memory": [
            {"model": "BERT-base", "engine": "npbert", "dtype": "float32", "threads": 2, "bytes": 543_000_000},
            {"model": "BERT-base", "engine": "torch", "dtype": "float32", "threads": 2, "bytes": 901_000_000},
            {"model": "BERT-base", "engine": "npbert", "dtype": "int8", "threads": 2, "bytes": 231_000_000},
        ],
        "quality": [
            {
                "dtype": "int8", "engine": engine, "sentences": 5000, "mean cosine": mean, "least cosine": 0.991,
                "neighbours kept": 0.96, "Spearman": 0.9985,
            }
            for engine, mean in {"npbert": 0.9979, "OpenVINO": 0.99}.items()
        ],
        "decisions": [{"head": "A head", "dtype": "int8", "cases": 59895, "kept": 0.9934, "right": 0.9}],
        "gemm": [
            {"m": 16, "n": 768, "k": 768, "dtype": dtype, "threads": 1, "share": 0.86} for dtype in ("float32", "int8")
        ],
        "startup": [
            {"process": "npbert embed", "seconds": [0.3, 0.4, 0.35]},
            {"process": "ONNX Runtime and tokenizers", "seconds": [0.32, 0.33, 0.31]},
        ],
        "first_run": {"seconds": 14.0},
        "minutes": 1.0,
    }  # fmt: skip


def test_speed_table_names_the_fastest_and_the_ratio_to_the_fastest_peer(result: dict[str, Any]) -> None:
    one, two = report.speed(report.of_dtype(result["timings"], "float32")).split("\n\n")
    assert one.splitlines()[2] == (
        "| BERT-base 1x16 | **12.5** ±0.1 | 50.0 ±0.5 | 20.0 ±0.2 | 15.0 ±0.2 | 1.20x | 80% |"
    )
    assert two.splitlines()[0].startswith("| 2 threads | npbert | torch |")
    # An engine that was not run on two threads has an empty cell, and a lost race is shown as one.
    assert two.splitlines()[2] == "| BERT-base 1x16 | 8.00 ±0.08 | **6.00** ±0.06 |  |  | 0.75x | 125% |"


def test_in_reduced_precision_the_own_float32_is_no_peer(result: dict[str, Any]) -> None:
    (table,) = report.speed(report.of_dtype(result["timings"], "int8")).split("\n\n")
    head, _, row = table.strip().splitlines()
    assert head == "| 1 thread | npbert | OpenVINO | npbert, float32 | over the fastest peer | of the limit |"
    assert row == "| BERT-base 8x128 | **4.00** ±0.04 | 5.00 ±0.05 | 12.0 ±0.1 | 1.25x | 250% |"
    assert row in report.full(result)


def test_the_table_of_quality_holds_each_engine(result: dict[str, Any]) -> None:
    rows = report.quality(result["quality"]).strip().splitlines()
    assert rows[0] == "| 5000 sentences | mean cosine | least cosine | neighbours kept | Spearman |"
    assert rows[2] == "| npbert, int8 | 0.99790 | 0.99100 | 0.96000 | 0.99850 |"
    assert [row.split(",")[0] for row in rows[2:]] == ["| npbert", "| OpenVINO"]
    assert report.decisions(result["decisions"]).splitlines()[2] == "| A head, int8 | 59,895 | 99.34% | 90.0% |"


def test_the_table_of_tasks_has_no_limit(result: dict[str, Any]) -> None:
    (table,) = report.speed(result["tasks"], limit=False).split("\n\n")
    head, _, row = table.strip().splitlines()
    assert head == "| 1 thread | npbert | torch | torch, batched | over the fastest peer |"
    assert row == "| NER 32 mixed | **100** ±1 | 300 ±3 | 190 ±2 | 1.90x |"
    assert row in report.full(result)


def test_every_table_has_as_many_cells_as_its_head(result: dict[str, Any]) -> None:
    tables = [block for block in report.full(result).split("\n\n") if block.startswith("|")]
    assert len(tables) == 9
    for block in tables:
        assert len({line.count("|") for line in block.strip().splitlines() if line.startswith("|")}) == 1


def test_figures_stand_beside_their_targets(result: dict[str, Any]) -> None:
    reached = {name: (wanted, found, verdict) for name, wanted, found, verdict in report.figures(result)}
    assert reached["BERT-base 1x16, 1 thread, over torch, ORT, OpenVINO"] == ("≥ 1.4", "1.6", "yes")
    assert reached["BERT-base 1x16, 2 threads, over torch, ORT, OpenVINO"] == ("≥ 1.4", "0.75", "**no**")
    assert reached["BERT-base 1x16, 1 thread, over CTranslate2"] == ("≥ 1", "1.2", "yes")
    assert reached["BERT-base 1x128, two threads over one"] == ("≥ 1.85", "1.88", "yes")
    assert reached["NER 32 mixed, 1 thread, over transformers and ORT"] == ("≥ 2", "1.9", "**no**")
    assert reached["BERT-base, float32, resident MB"] == ("≤ 560", "543", "yes")
    assert reached["BERT-base, int8, resident MB"] == ("≤ 230", "231", "**no**")
    assert reached["BERT-base 8x128, 1 thread, int8, over its peers"] == ("≥ 1.15", "1.25", "yes")
    assert reached["BERT-base 8x128, 1 thread, int8, over npbert's float32"] == ("≥ 2.8", "3", "yes")
    assert reached["int8, mean cosine"] == ("≥ 0.998", "0.998", "**no**")
    assert reached["A head, int8, decisions kept"] == ("≥ 0.99", "0.993", "yes")
    assert reached["int8, neighbours kept"] == ("≥ 0.95", "0.96", "yes")
    assert reached["npbert embed, seconds to the first vector"] == ("≤ 0.32", "0.35", "**no**")
    assert reached["GEMM (16, 768, 768), float32, share of the instruction's rate"][2] == "**no**"
    assert reached["GEMM (16, 768, 768), int8, share of the instruction's rate"] == ("≥ 0.85", "0.86", "yes")


def test_every_case_and_model_has_its_targets() -> None:
    assert set(targets.OVER_FASTEST) == set(CASES)
    assert set(targets.OVER_FASTEST_REDUCED) == set(CASES)
    assert set(targets.GEMM_SHARE) == set(targets.RESIDENT_MB) == set(ENGINES)
    assert set(targets.QUALITY) == set(targets.OVER_FLOAT32) == set(targets.DECISIONS_KEPT) == {*REDUCED}
    assert {"float32", *REDUCED} == set(ENGINES)
    assert all(set(sizes) == set(MODELS) for sizes in targets.RESIDENT_MB.values())
    assert set(targets.SHARE) == set(MODELS)
    assert all(set(shares) == set(CASES) for shares in targets.SHARE.values())
    assert set(PEERS_TO_BEAT) < set(ENGINES["float32"])
    # each engine of reduced precision has a float32 to be held against, npbert's own last
    assert all(set(engines) <= {*ENGINES["float32"], *OWN} for engines in ENGINES.values())
    assert [list(ENGINES[dtype])[-1] for dtype in targets.OVER_FLOAT32] == [OWN[1]] * 2
    assert {*TASK_CASES} == {*TASKS} == {*TASK_MODELS}
    assert {case for cases in TASK_CASES.values() for case in cases} == {*targets.OVER_FASTEST_TASK} == {*TEXT_CASES}


def test_disturbed_rounds_are_told(result: dict[str, Any]) -> None:
    assert "run it again" not in report.full(result)
    disturbed = copy.deepcopy(result)
    disturbed["timings"][0]["disturbed_rounds"] = 2
    assert "2 rounds began while something else used the cores" in report.full(disturbed)


def test_readme_keeps_all_but_what_stands_between_the_markers(result: dict[str, Any]) -> None:
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    new = readme.replace(text, readme.section(result, "plot.svg"))
    assert new.startswith(f"before\n{readme.BEGIN}\n| 1 thread |")
    assert new.endswith(f"\n{readme.END}\nafter\n")
    assert "old" not in new
    assert "](plot.svg)" in new
    assert "](plot.md)" in new
    assert readme.replace(new, readme.section(result, "plot.svg")) == new


@pytest.mark.parametrize("text", ["", readme.BEGIN, f"{readme.END}{readme.BEGIN}", f"{readme.BEGIN}{readme.END}" * 2])
def test_readme_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="wanted <!-- benchmarks:begin"):
        readme.replace(text, "new")


def test_readme_has_the_markers() -> None:
    readme.replace(readme.README.read_text(), "new")


def test_the_linears_that_are_timed_are_linear_layers(backend: Backend) -> None:
    program, batch = record_linears(backend, 5, 24, 40, linears=3)
    outputs = program(batch)
    x = batch.inputs_embeds
    assert x is not None
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((24, 40), np.float32) for _ in range(3)]
    assert len(outputs) == 3
    normed = (x[0] - x[0].mean()) / np.sqrt(x[0].var() + 1e-12)
    for weight, output in zip(weights, outputs.values(), strict=True):
        # 40 products, whose roundings add up to at most 40 eps times the sum of their sizes
        bound = 2 * 40 * np.finfo(np.float32).eps * (np.abs(weight) @ np.abs(normed)).max()
        np.testing.assert_allclose(output, (weight @ normed)[None], rtol=0, atol=bound)


def test_parity_names_the_first_tensor_that_diverges() -> None:
    good = parity.Row("hidden_states[0], embeddings", largest=5.0, error=2e-6, torch_error=1e-6)
    tiny = parity.Row("attentions[0]", largest=1.0, error=2e-7, torch_error=1e-9)  # within four roundings
    bad = parity.Row("hidden_states[1]", largest=5.0, error=3e-6, torch_error=1e-6)
    nan = parity.Row("pooler_output", largest=1.0, error=float("nan"), torch_error=1e-6)
    assert [row.diverges for row in (good, tiny, bad, nan)] == [False, False, True, True]
    assert "First to diverge: hidden_states[1]" in parity.render([good, tiny, bad, nan])
    assert "All tensors" in parity.render([good, tiny])
    assert np.isnan(nan.merged(parity.Row("pooler_output", 1.0, 0.0, 0.0)).error)


def test_parity_passes_and_fails_as_it_should(
    bert_folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small model agrees; with one layer's output bias moved in npbert's copy alone, that layer is named."""
    folder = bert_folder()
    assert parity.main([str(folder), "--backend", "reference"]) == 0
    assert "| last_hidden_state |" in capsys.readouterr().out

    from safetensors.numpy import load_file, save_file

    moved = tmp_path / "moved"
    moved.mkdir()
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.LayerNorm.bias"][0] += 1e-3
    save_file(weights, moved / "model.safetensors")
    (moved / "config.json").write_bytes((folder / "config.json").read_bytes())
    load = parity.npbert.BertModel.from_pretrained
    monkeypatch.setattr(parity.npbert.BertModel, "from_pretrained", lambda _, **options: load(moved, **options))
    assert parity.main([str(folder), "--backend", "reference"]) == 1
    assert "First to diverge: hidden_states[2]" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "whole"), [([], True), (["--quick"], False), (["--threads", "1"], False)])
def test_only_a_whole_run_rewrites_the_readme(
    arguments: list[str], whole: bool, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PARTS", dict.fromkeys(run.PARTS, lambda given: []))
    monkeypatch.setattr(run, "make", lambda name, cache: pytest.fail("nothing is to be made"))
    monkeypatch.setattr(run, "weight_bytes", lambda given: {})
    monkeypatch.setattr(run, "read_rate", lambda: 1e10)
    monkeypatch.setattr(run, "core_rate", lambda seconds: 1e11)
    written: list[bool] = []
    monkeypatch.setattr(run, "write", lambda *_, readme_too: written.append(readme_too))
    monkeypatch.setattr(run.os, "environ", dict(run.os.environ))
    assert run.main(arguments) == 0
    assert written == [whole]


def units(rows: int, width: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((rows, width), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_quality_of_the_same_vectors() -> None:
    found = quality.compare(units(300, 24), units(300, 24))
    assert list(found.values()) == pytest.approx([1, 1, 1, 1])
    assert found["neighbours kept"] == 1


def test_quality_of_vectors_that_were_turned() -> None:
    """A rotation keeps neighbours and similarities, and no cosine."""
    turn = np.linalg.qr(units(24, 24))[0].astype(np.float32)
    found = quality.compare(units(300, 24), units(300, 24) @ turn)
    assert min(found["neighbours kept"], found["Spearman"]) > 0.999
    assert abs(found["mean cosine"]) < 0.5


def test_quality_where_one_vector_changes() -> None:
    """It shows whole in the least cosine, and by its share in the mean."""
    vectors, changed = units(300, 24), units(300, 24)
    changed[7] *= -1
    found = quality.compare(vectors, changed)
    assert found["least cosine"] == pytest.approx(-1)
    assert found["mean cosine"] == pytest.approx(1 - 2 / 300)
    assert 0.9 < found["neighbours kept"] < 1 - 1 / 300
    assert 0.9 < found["Spearman"] < 1


def test_sentences_are_the_same_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    found = docstrings.paragraphs()
    monkeypatch.setattr(docstrings, "paragraphs", lambda: found)
    texts = docstrings.sentences(5000)
    assert len(set(texts)) == 5000
    assert all(len(text.split()) >= 4 and "\n" not in text for text in texts)
    monkeypatch.setattr(docstrings, "paragraphs", lambda: found[::-1])
    assert docstrings.sentences(5000) == texts
    with pytest.raises(ValueError, match=r"sentences: wanted at most \d+, which this Python has, found 1000000"):
        docstrings.sentences(1_000_000)


def test_a_case_of_ids_holds_them_and_pads_with_zeros() -> None:
    case = IdsCase.of([[5, 6, 7], [8]])
    assert case.lengths == (3, 1)
    assert case.feed()["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert case.feed()["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_quality_pools_the_real_tokens_of_each_text(minilm: Path) -> None:
    """An engine whose hidden states are the ids: padding would show, and so would a text in another's place."""

    class Ids:
        def prepare(self, case: IdsCase) -> Any:
            ids = case.feed()["input_ids"]
            return lambda: np.stack([ids, np.ones_like(ids)], axis=-1).astype(np.float32) + (ids == 0)[..., None] * 99

    texts = ["the whole train was late", "late", "the train"] * 20
    ids = npbert.AutoTokenizer.from_pretrained(minilm)(texts)["input_ids"]
    means = np.array([[np.mean(row), 1] for row in ids])
    wanted = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(quality.vectors(Ids(), texts), wanted, rtol=1e-6)


def test_reduced_precision_leaves_decisions_as_they_are(minilm: Path) -> None:
    """As the README has it of more sentences. The heads have learned something, or nothing would be at stake."""
    found = decisions.measure(400)
    assert len(found) == 4
    for line in found:
        wanted, cases = targets.DECISIONS_KEPT[line["dtype"]], line["cases"]
        assert line["kept"] >= wanted - 3 * (wanted * (1 - wanted) / cases) ** 0.5, line  # few cases: three deviations
        assert line["right"] > 0.75


def test_kinds_of_sentences_and_tokens() -> None:
    assert [decisions.class_of_sentence(text) for text in ("Return it.", "Sets", "set, then", "A")] == [1, 0, 5, 0]
    tokens = ("[SEP]", "##ing", "7", ".", "the", "tree")
    assert [decisions.class_of_token(token) for token in tokens] == [0, 1, 2, 2, 3, 4]


GPU_TIMINGS = [
    {
        "model": model, "case": "32x128", "engine": engine, "q1_ms": ms, "ms": ms, "q3_ms": ms,
        "flops": flops(BASE, (128,) * 32),
    }
    for model, engine, ms in (("A", "npbert float16", 2.0), ("B", "npbert float16", 1.0), ("B", "torch", 4.0))
]  # fmt: skip


def test_a_gpu_s_tables() -> None:
    assert (gpu.GPU_CASES[-1].name, gpu.GPU_CASES[-1].lengths) == ("32x128", (128,) * 32)
    assert gpu.table(GPU_TIMINGS).splitlines() == [
        "| ms on the device | A 32x128 | B 32x128 |",
        "|---|---|---|",
        "| npbert float16 | 2.000 | 1.000 |",
        "| torch |  | 4.000 |",
    ]
    # all of a rate at which the work takes 1 ms, half of it in 2 ms, a quarter in 4
    shares = gpu.shares(GPU_TIMINGS, flops(BASE, (128,) * 32) / 1e-3)
    assert shares.splitlines()[2:] == ["| npbert float16 | 50 | 100 |", "| torch |  | 25 |"]


def test_a_gpu_s_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")  # of the benchmarks' extras
    gpu.plot(GPU_TIMINGS, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").stat().st_size


def test_an_engine_that_fails_is_named_and_left_out(
    minilm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> gpu.Run:
        raise RuntimeError("no such GPU\nand more")

    monkeypatch.setattr(gpu, "engines", lambda model, case: {"torch": missing, "npbert": lambda: lambda: 2.0})
    (timing,) = gpu.timed(Model("MiniLM", minilm), CASES["1x16"])
    assert timing == {"model": "MiniLM", "case": "1x16", "engine": "npbert", "q1_ms": 2, "ms": 2, "q3_ms": 2}
    assert capsys.readouterr().err == "MiniLM 1x16: torch left out: RuntimeError: no such GPU\n"
