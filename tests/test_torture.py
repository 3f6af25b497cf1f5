"""The campaign itself: its oracle is transformers', planted faults are found and shrunk, a few hundred cases run."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
import torch
import transformers
from conftest import add_distances
from torture import bases
from torture.bases import STEMS
from torture.campaign import Campaign, Limits
from torture.case import Case
from torture.crew import Crew
from torture.encoder64 import Encoder64
from torture.folder import write
from torture.judge import against
from torture.kinds import kind_class
from torture.kinds.files import FilesKind
from torture.shrink import shrunk
from torture.state import State
from torture.verdict import FIND, RIGHT, SAME, SANE, Found, Refused, fault_of
from torture.weights import unpacked

SEED, CASES = 131, 5  # of planted faults: some of each are bad, and of crashes and hangs, which take time, one
IDS = torch.tensor([[2, 5, 6, 7, 3], [3, 8, 9, 10, 4]])
TIED = ("decoder.weight", "decoder.bias", "lm_head.weight", "projector.weight")
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.mark.parametrize("kind", bases.KINDS)
@pytest.mark.parametrize("family", STEMS)
def test_the_oracle_is_transformers(tmp_path: Path, family: str, kind: str) -> None:
    """Names, shapes and numbers: all in float64, in which sums in another order differ by some 1e-15."""
    assert_as_transformers(tmp_path, family, kind, "")


@pytest.mark.parametrize("variety", bases.VARIETIES)
def test_the_oracle_of_varieties(tmp_path: Path, variety: str) -> None:
    if "relative" in variety and not hasattr(transformers.BertConfig(), "position_embedding_type"):
        pytest.skip("transformers 5 has no relative positions for BERT; test_families holds them to 4's")
    assert_as_transformers(tmp_path, bases.VARIETIES[variety][0], "Model", variety)


def assert_as_transformers(folder: Path, family: str, kind: str, variety: str) -> None:
    files = bases.model_folder(family, kind, variety)
    write(dict(files), folder / "model")
    config = json.loads(files["config.json"])
    made = getattr(transformers, STEMS[family] + kind)
    model = made(made.config_class.from_pretrained(folder / "model", attn_implementation="eager")).double().eval()
    add_distances(model)
    tensors = {
        name: torch.from_numpy(array.copy()).double() for name, array in unpacked(files["model.safetensors"]).items()
    }
    missing, left = model.load_state_dict(tensors, strict=False)
    assert not left
    assert all(name.endswith(TIED) for name in missing)
    model.tie_weights()
    with torch.no_grad():
        output = model(IDS, MASK)
    oracle = Encoder64(config, unpacked(files["model.safetensors"]))
    last = oracle.states(IDS.numpy(), MASK.numpy())[-1]
    if kind == "Model":
        found, wanted = last, output.last_hidden_state
    elif kind == "ForQuestionAnswering":
        found, wanted = oracle.logits(last, kind), torch.stack([output.start_logits, output.end_logits], -1)
    else:
        found, wanted = oracle.logits(last, kind), output.logits
    assert np.abs(found - wanted.numpy()).max() < 1e-12


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (planted.Crashing, "a crash: SIGSEGV"),
        (planted.Hanging, "a hang"),
        (planted.Growing, "MB in one case"),
        (planted.Leaking, "leaked descriptors"),
        (planted.Untyped, "KeyError"),
        (planted.Wordless, "names no file or argument"),
        (planted.Swallowing, "swallowed"),
        (planted.Wrong, "where the files say"),
        (planted.OtherBits, "other bits"),
        (planted.Broken, "the campaign itself: ZeroDivisionError"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_planted_faults_are_found(kind: type[planted.Planted], what: str) -> None:
    """Each case with a seven among its five numbers is a find, others are not; shrunk, it is the seven alone."""
    bad = [
        7 in kind_class(kind.name)(Path()).plan(Case(kind.name, SEED, number).dice()).steps for number in range(CASES)
    ]
    assert any(bad)
    assert not all(bad)
    with Crew(kind.name) as crew:
        report = crew.run(SEED, 0, CASES)
        assert report.outcomes == {FIND: sum(bad), SANE: CASES - sum(bad)}
        assert [find.case for find in report.finds] == [str(Case(kind.name, SEED, n)) for n in range(CASES) if bad[n]]
        assert all(what in find.reason for find in report.finds)
        if kind is planted.Hanging:
            return  # to shrink it would take as many seconds as tries
        fewest = shrunk(crew, report.finds[0])
    assert fewest.again
    assert fewest.steps == ["five numbers", "7"]


def test_a_campaign_counts_and_goes_on(tmp_path: Path) -> None:
    """Finds of a mark are told once, with the command that runs them again; what is done is done only once."""
    path, out = tmp_path / "state.json", io.StringIO()
    name = planted.Untyped.name
    for goal in (40, 70):
        state = State.read(path) if path.exists() else State(3)
        Campaign([name], state, path, "tested", out).run(Limits(cases=goal - state.of(name).next), workers=2)
        done = State.read(path).kinds[name]
        assert (done.next, done.cases, done.by_sources) == (goal, goal, {"tested": goal})
    (mark,) = State.read(path).finds
    known = State.read(path).finds[mark]
    assert known.count == done.outcomes[FIND]
    assert known.steps == ["five numbers", "7"]
    assert out.getvalue().count("FIND") == 1
    assert f"make torture ARGS='--case {known.case}'" in out.getvalue()


@pytest.mark.parametrize(("kind", "cases"), [("files", 250), ("cli", 30)])
def test_cases_are_made_from_their_numbers(tmp_path: Path, kind: str, cases: int) -> None:
    """A few hundred cases, without a find; made again, they are the same."""
    run = kind_class(kind)(tmp_path)
    right = 0
    for number in range(cases):
        case = Case(kind, 17, number)
        plan, again = run.plan(case.dice()), run.plan(case.dice())
        assert (plan.what, list(map(str, plan.steps))) == (again.what, list(map(str, again.steps)))
        try:
            right += run.run(plan) in (RIGHT, SAME)
        except Refused:
            continue
        except Found as found:
            pytest.fail(f"{case}: {found.reason}")
    assert kind == "cli" or right > cases / 8


def test_any_steps_may_be_left_out(tmp_path: Path) -> None:
    """Each step of a plan by itself: what shrinking runs."""
    run = FilesKind(tmp_path)
    plans = (run.plan(random.Random(number)) for number in range(10**6))
    plan = next(plan for plan in plans if len(plan.steps) == 5)
    for place in range(5):
        try:
            run.run(plan.keeping([place]))
        except Refused:
            continue


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("config.json: hidden_size: wanted 1, found 0", None),
        ("", "without a word"),
        ("config.json:\nno", "several lines"),
        ("config.json: \x1b[31m", "control characters"),
        ("config.json: " + "x" * 1000, "beyond 1000"),
        ("no such thing", "names no file"),
    ],
)
def test_what_is_held_against_a_message(message: str, fault: str | None) -> None:
    found = fault_of(message, ["config.json"])
    assert found is None if fault is None else fault in str(found)


def test_rounding_is_no_fault() -> None:
    """A sum in another order passes, and what is off by more does not."""
    x = np.random.default_rng(0).standard_normal((50, 1000))

    def oracle(dtype: Any) -> np.ndarray:
        return x.astype(dtype).sum(1)

    assert against("sums", x.astype("f4")[:, ::-1].cumsum(1)[:, -1], oracle) == RIGHT
    with pytest.raises(Found, match="where the files say"):
        against("sums", x.astype("f4").sum(1) + np.float32(1e-2), oracle)
