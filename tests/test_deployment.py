"""A model in service while its files are replaced, cut short, written over, closed: right answers, or an OSError."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npbert_kernels.ops import Backend
from safetensors.numpy import load_file, save_file

from npbert.files.stored_table import StoredTable
from npbert.models.bert.bert import BertModel

IDS = np.arange(1, 41).reshape(2, 20)
FILE = "model.safetensors"
WORDS = "embeddings.word_embeddings.weight"
Folders = Callable[..., Path]


@pytest.fixture(params=["float32", "float16", "int8", "sharded"])
def folder(request: pytest.FixtureRequest, bert_folder: Folders, tmp_path: Path) -> Path:
    """A model of one's own, whose word embeddings are stored so."""
    made = tmp_path / "model"
    if request.param == "int8":
        BertModel.from_pretrained(bert_folder(), dtype="int8").save_pretrained(made)
        return made
    shutil.copytree(bert_folder(), made)
    arrays = load_file(made / FILE)
    if request.param == "sharded":
        save_file({WORDS: arrays.pop(WORDS)}, made / "1.safetensors")
        save_file(arrays, made / "2.safetensors")
        weight_map = {**dict.fromkeys(arrays, "2.safetensors"), WORDS: "1.safetensors"}
        (made / f"{FILE}.index.json").write_text(f'{{"weight_map": {weight_map!s}}}'.replace("'", '"'))
        (made / FILE).unlink()
    else:
        save_file({**arrays, WORDS: arrays[WORDS].astype(request.param)}, made / FILE)
    return made


def file_of(folder: Path) -> Path:
    """That of the word embeddings."""
    return next(file for name in (FILE, "1.safetensors") if (file := folder / name).exists())


def other_weights(file: Path) -> bytes:
    """A file like this one, of other numbers."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.permutation(array.ravel()).reshape(array.shape) for name, array in load_file(file).items()}
    save_file(arrays, file.with_name("other"))
    return file.with_name("other").read_bytes()


def cut(file: Path) -> None:
    os.truncate(file, 100)


def write_over(file: Path) -> None:
    content = other_weights(file)
    with open(file, "r+b") as opened:
        opened.write(content)
    os.utime(file, ns=(0, 1))


def write_over_keeping_times(file: Path) -> None:
    before = file.stat()
    write_over(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(file: Path) -> None:
    other_weights(file)
    os.replace(file.with_name("other"), file)


def descriptors_of(file: Path) -> list[int]:
    numbers = map(int, os.listdir("/dev/fd"))  # one of them the listing's own
    return [number for number in numbers if is_open(number) and os.path.samestat(os.fstat(number), file.stat())]


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


IN_PLACE = [cut, write_over, write_over_keeping_times]


@pytest.mark.parametrize("change", IN_PLACE)
def test_a_file_that_changes_in_place(
    backend: Backend, folder: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """An error by name, where a mapped page that is gone would have ended the process, or other rows have come."""
    model = BertModel.from_pretrained(folder, backend=backend)
    embeddings, embeds = model.get_input_embeddings(), model.get_input_embeddings()(IDS)
    wanted = model(inputs_embeds=embeds)[0]
    change(file_of(folder))
    uses: list[Callable[[], Any]] = [lambda: model(IDS), lambda: model.embed(IDS.tolist()), model.get_input_embeddings]
    uses += [lambda: model.predict([[1, 2]]), lambda: embeddings(5), lambda: embeddings.weight]
    uses += [lambda: model.save_pretrained(tmp_path / "saved"), lambda: model.prune_heads({0: [1]})]
    for use in uses:
        with pytest.raises(OSError, match=rf"{re.escape(str(file_of(folder)))}: the file has changed since"):
            use()
    assert not (tmp_path / "saved" / FILE).exists()
    np.testing.assert_array_equal(model(inputs_embeds=embeds)[0], wanted)  # which needs no file


@pytest.mark.parametrize("change", IN_PLACE)
def test_a_file_that_changes_during_a_call(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """Between the look at it and the first row."""
    model = BertModel.from_pretrained(folder, backend=backend)
    model.embed([[7]])
    look = StoredTable.descriptor

    def looked(table: StoredTable) -> int:
        descriptor = look(table)
        change(file_of(folder))
        return descriptor

    monkeypatch.setattr(StoredTable, "descriptor", looked)
    with pytest.raises(OSError, match=rf"{re.escape(str(file_of(folder)))}: the file has changed since"):
        model.embed(IDS.tolist())


def test_a_file_that_is_replaced(backend: Backend, folder: Path, tmp_path: Path) -> None:
    """As one deploys: those that run keep their weights, those that start have the new ones."""
    model = BertModel.from_pretrained(folder, backend=backend)
    wanted = model(IDS)[0]
    replace(file_of(folder))
    np.testing.assert_array_equal(model(IDS)[0], wanted)
    new = BertModel.from_pretrained(folder, backend=backend)
    assert np.abs(new(IDS)[0] - wanted).max() > 0.1
    np.testing.assert_array_equal(model(IDS)[0], wanted)
    model.save_pretrained(tmp_path / "saved")
    again = BertModel.from_pretrained(tmp_path / "saved", backend=backend)
    np.testing.assert_array_equal(again(IDS)[0], wanted)
    model.prune_heads({0: [1]})
    again.prune_heads({0: [1]})
    np.testing.assert_array_equal(model(IDS)[0], again(IDS)[0])


def test_a_model_saved_into_its_own_folder(backend: Backend, folder: Path) -> None:
    model = BertModel.from_pretrained(folder, backend=backend)
    wanted = model(IDS)[0]
    for _ in range(2):
        model.save_pretrained(folder)
        np.testing.assert_array_equal(model(IDS)[0], wanted)
    np.testing.assert_array_equal(BertModel.from_pretrained(folder, backend=backend)(IDS)[0], wanted)


def test_a_process_that_closes_its_descriptors(backend: Backend, folder: Path, tmp_path: Path) -> None:
    """As daemons do; and others open files of their own then."""
    model = BertModel.from_pretrained(folder, backend=backend)
    wanted = model(IDS)[0]
    numbers = descriptors_of(file_of(folder))
    assert numbers
    for number in numbers:
        os.close(number)
    (tmp_path / "log").write_bytes(b"log")
    logs = [os.open(tmp_path / "log", os.O_RDONLY) for _ in numbers]
    assert logs == numbers
    np.testing.assert_array_equal(model(IDS)[0], wanted)
    model.save_pretrained(tmp_path / "saved")
    del model
    for log in logs:
        assert os.pread(log, 3, 0) == b"log"
        os.close(log)


def test_one_whose_file_is_gone_as_well(backend: Backend, folder: Path) -> None:
    model = BertModel.from_pretrained(folder, backend=backend)
    for number in descriptors_of(file_of(folder)):
        os.close(number)
    file = file_of(folder)
    replace(file)
    message = rf"{re.escape(str(file))}: something else in this process closed it, .*: load the model again"
    for use in (lambda: model(IDS), model.get_input_embeddings):
        with pytest.raises(OSError, match=message):
            use()


@pytest.mark.parametrize("then", ["nothing", "another file"])
def test_a_descriptor_that_is_closed_during_a_call(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """The rows may be another file's: they are neither returned nor kept for the next call."""
    model = BertModel.from_pretrained(folder, backend=backend)
    model.embed([[7]])
    wanted = BertModel.from_pretrained(folder, backend=backend)(IDS)[0]
    file = file_of(folder)
    (folder / "copy").write_bytes(other_weights(file))
    look = StoredTable.descriptor
    others: list[int] = []

    def looked(table: StoredTable) -> int:
        descriptor = look(table)
        os.close(descriptor)
        if then == "another file":
            others.append(os.open(folder / "copy", os.O_RDONLY))
            assert others[-1] == descriptor
        return descriptor

    with monkeypatch.context() as patch:
        patch.setattr(StoredTable, "descriptor", looked)
        with pytest.raises(OSError, match=re.escape(str(file))):
            model(IDS)
    np.testing.assert_array_equal(model(IDS)[0], wanted)
    for other in others:
        os.close(other)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file at hand that fails so")
def test_a_disk_that_fails(cpu_backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In compiled code, by a descriptor whose reads fail."""
    model = BertModel.from_pretrained(folder, backend=cpu_backend)
    wanted = model(IDS)[0]
    program = next(iter(model._programs.values()))
    program._free.clear()  # type: ignore[attr-defined]  # and the rows that were read before
    with open("/proc/self/mem", "rb") as failing, monkeypatch.context() as patch:
        patch.setattr(StoredTable, "descriptor", lambda _: failing.fileno())
        check = StoredTable.check
        patch.setattr(StoredTable, "check", lambda table, _, failed: check(table, table._file._file.descriptor, failed))
        with pytest.raises(OSError, match="Input/output error") as told:
            model(IDS)
        assert (told.value.errno, told.value.filename) == (errno.EIO, str(file_of(folder)))
    np.testing.assert_array_equal(model(IDS)[0], wanted)


def test_words_in_memory_need_no_file(bert_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those made int8 as they are loaded; and all where a system has no pread."""
    shutil.copytree(bert_folder(), tmp_path / "model")
    BertModel.from_pretrained(bert_folder(), dtype="int8").save_pretrained(tmp_path / "int8")
    models = [BertModel.from_pretrained(tmp_path / "model", dtype="int8")]
    wanted = [models[0](IDS)[0]]
    kept = [BertModel.from_pretrained(tmp_path / name)(IDS)[0] for name in ("model", "int8")]
    monkeypatch.delattr(os, "pread")
    models += [BertModel.from_pretrained(tmp_path / name) for name in ("model", "int8")]
    for name in ("model", "int8"):
        cut(tmp_path / name / FILE)
    for model, answer in zip(models, [*wanted, *kept], strict=True):
        np.testing.assert_array_equal(model(IDS)[0], answer)
        assert model.get_input_embeddings().weight.shape == (61, 48)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_reads_the_same_file(folder: Path) -> None:
    """By the same descriptor, at places of its own."""
    model = BertModel.from_pretrained(folder)
    rng = np.random.default_rng(0)
    batches = [rng.integers(1, 61, (2, 20)) for _ in range(20)]
    another = BertModel.from_pretrained(folder)
    wanted = [another(ids)[0] for ids in batches]
    children = []
    for _ in range(2):
        if (child := os.fork()) == 0:
            right = all(np.array_equal(model(ids)[0], array) for ids, array in zip(batches, wanted, strict=True))
            os._exit(0 if right else 1)
        children.append(child)
    for ids, array in zip(batches, wanted, strict=True):
        np.testing.assert_array_equal(model(ids)[0], array)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
