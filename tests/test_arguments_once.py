"""Arguments that several functions take are defined once: types, signatures, defaults and documentation agree."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import npbert
from npbert.files.hub import HUB
from npbert.keywords import OtherArguments, names_of
from npbert.models.batch import pack
from npbert.models.call_arguments import CALL, INPUTS, LABELLED_CALL
from npbert.models.devices import ENGINE
from npbert.sentence.names import SENTENCE_HUB
from npbert.signatures import Arguments
from npbert.text.arguments import TokenizerSettings
from npbert.text.families import SWITCHES
from npbert.text.settings import NAMES

FUNCTIONS: list[Callable[..., Any]] = [
    npbert.AutoConfig.from_pretrained,
    npbert.AutoTokenizer.from_pretrained,
    npbert.BertConfig.from_pretrained,
    npbert.BertForMaskedLM.from_pretrained,
    npbert.BertModel.from_pretrained,
    npbert.BertTokenizer.from_pretrained,
    npbert.CrossEncoder.__init__,
    npbert.SentenceTransformer.__init__,
    npbert.AlbertForPreTraining.__call__,
    npbert.BertForMaskedLM.__call__,
    npbert.BertForMultipleChoice.__call__,
    npbert.BertForPreTraining.__call__,
    npbert.BertForQuestionAnswering.__call__,
    npbert.BertModel.__call__,
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_types_say_what_signatures_say(function: Callable[..., Any]) -> None:
    """The TypedDict that type checkers see has the names of the signature, and none but those that change nothing."""
    kind = function.__annotations__["given"].removeprefix("Unpack[").removesuffix("]")
    typed = getattr(importlib.import_module(function.__module__), kind).__annotations__
    code = inspect.unwrap(function).__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    spelled = {name for name in names_of(function) if name not in (*own, "others", "settings")}
    assert spelled <= {*typed}
    assert {*typed} - spelled <= {*OtherArguments.__annotations__, *tokenizers(function)}


def tokenizers(function: Callable[..., Any]) -> set[str]:
    """What a tokenizer takes besides."""
    if "Tokenizer" not in function.__qualname__:
        return set()
    arguments = importlib.import_module("npbert.text.arguments")
    return {*arguments.TokenizerSettings.__annotations__, *arguments.OtherTokenizerArguments.__annotations__}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_documentation_has_the_arguments(function: Callable[..., Any]) -> None:
    is_class = function.__name__ == "__init__"
    documented = getattr(npbert, function.__qualname__.partition(".")[0]) if is_class else function
    text = inspect.getdoc(documented) or ""
    assert text.count("Args:\n") == 1
    for name in names_of(function):
        assert name == "others" or name.endswith("name_or_path") or name in text.partition("Args:\n")[2], name


def test_others_that_spell_them_out() -> None:
    """Where there is no other way: `pipeline` takes the tasks' arguments as well, and `pack` arrays alone."""
    spelled = inspect.signature(npbert.pipeline).parameters
    assert {name: spelled[name].default for name in HUB.defaults} == HUB.defaults
    assert {*ENGINE.defaults} <= {*spelled}
    assert {*NAMES, *SWITCHES} <= {*TokenizerSettings.__annotations__}
    assert list(inspect.signature(pack).parameters)[1:7] == list(INPUTS.defaults)
    assert {*SENTENCE_HUB.defaults} - {"cache_folder"} == {*HUB.defaults} - {"cache_dir"}


def test_by_place_and_by_name() -> None:
    def method(self: object, *places: Any, **given: Any) -> None: ...

    LABELLED_CALL(method)
    named = LABELLED_CALL.by_name(method, (1, 2), {"labels": 3})
    assert list(named) == [*INPUTS.defaults, "labels", "output_attentions", "output_hidden_states", "return_dict"]
    assert (named["input_ids"], named["attention_mask"], named["labels"], named["return_dict"]) == (1, 2, 3, None)
    assert list(LABELLED_CALL.by_name(method, tuple(range(10)), {}).values()) == list(range(10))
    for places, given, message in (
        (tuple(range(11)), {}, "too many positional arguments"),
        ((1,), {"input_ids": 2}, "multiple values for argument 'input_ids'"),
        ((), {"label": 1}, "unexpected keyword argument 'label'"),
    ):
        with pytest.raises(TypeError, match=message):
            LABELLED_CALL.by_name(method, places, given)
    assert CALL.by_name(method, (), {}) == CALL.defaults


def test_where_documentation_is_put() -> None:
    class Two:
        """
        first: one,
            and more.
        second: two.
        """

    Two.__annotations__ = {"first": "int", "second": "int"}
    lines = "\n    first: one,\n        and more.\n    second: two."
    for before, after in (
        ("A.", f"A.\n\nArgs:{lines}"),
        ("A.\n\nRaises:\n    E.", f"A.\n\nArgs:{lines}\n\nRaises:\n    E."),
        ("A.\n\nArgs:\n    own: o.\n\nB.", f"A.\n\nArgs:\n    own: o.{lines}\n\nB."),
        ("A.\n\nArgs:\n    own: o.\n    others: p.", f"A.\n\nArgs:\n    own: o.{lines}\n    others: p."),
        (None, None),
    ):

        def function(**given: int) -> None: ...

        function.__doc__ = before
        assert Arguments(Two)(function).__doc__ == after
