"""The LoRA of a model's linear layers, beside its weights or in a folder of its own: merged as they are read.

A linear of weight W [out, in] has A [r, in] and B [out, r], and W + (alpha / r) B A is what it multiplies with, also
where W is stored [in, out]. What else an adapter may be is refused by name.

Source: peft, whose `merge_and_unload` gives these weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npbert.checks import brief, check_int, check_number, show
from npbert.files.checkpoint import Checkpoint
from npbert.files.hub import Folder
from npbert.files.names import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from npbert.files.safetensors_file import SafetensorsFile
from npbert.models.architecture import EMBEDDING_PARTS
from npbert.models.config import EncoderConfig
from npbert.models.heads import tied
from npbert.models.weights import canonical_name

PREFIX = "base_model.model."  # of peft's wrapper
MAX_RANK = 2**16
INITIAL = (None, True, False, "gaussian", "orthogonal", "eva")
"""Values of init_lora_weights that leave the model's own weights as they are."""

NOT_MERGED = "not merged here: peft's merge_and_unload makes a whole model of it"

# Keys of adapter_config.json that are read here, or have done their work when the adapter was made.
KNOWN = {
    *("peft_type", "bias", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "init_lora_weights"),
    *("base_model_name_or_path", "revision", "auto_mapping", "task_type", "peft_version", "inference_mode"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save"),
    *("lora_dropout", "fan_in_fan_out", "runtime_config", "megatron_config", "megatron_core", "qalora_group_size"),
    *("eva_config", "loftq_config", "corda_config", "lora_ga_config"),
}

_PAIR = re.compile(r"(.+)\.lora_([AB])\.weight")
_OTHER = re.compile(r"\blora_|\btoken_adapter\b|\bbase_layer\b")
_PLAIN = re.compile(r"\^?[\w.]+", re.ASCII)  # of the expressions that peft has here: those that are names


@dataclass(frozen=True)
class _Settings:
    """What adapter_config.json says of the factors."""

    rank: int
    alpha: float
    ranks: Mapping[str, int]  # the end of a module's name -> what it has instead
    alphas: Mapping[str, float]
    by_root: bool  # alpha is divided by the root of the rank

    def of(self, module: str) -> tuple[int, np.float32]:
        """The rank and the factor of a module of that name."""
        rank, alpha = _chosen(self.ranks, module, self.rank), _chosen(self.alphas, module, self.alpha)
        return rank, np.float32(alpha / (math.sqrt(rank) if self.by_root else rank))


@dataclass(frozen=True)
class _Pair:
    """The tensors of a linear's LoRA, by their names in the adapter's file."""

    a: str  # [r, in]
    b: str  # [out, r]
    scale: np.float32
    turned: bool  # whether the weight is stored [in, out]


def merged(base: Checkpoint, folder: Folder, config: EncoderConfig) -> Checkpoint:
    """Weights with those of a folder's adapter merged into them. They are closed where it fails.

    Raises:
        OSError: the adapter can't be read.
        ValueError: it is damaged, or not one that can be merged.
    """
    adapter: Checkpoint | None = None
    try:
        settings = _read_settings(folder / ADAPTER_CONFIG, folder.values(ADAPTER_CONFIG))
        adapter = _open_adapter(folder)
        return _Merged(base, adapter, settings, config)
    except BaseException:
        for checkpoint in (base, adapter):
            if checkpoint is not None:
                checkpoint.close()
        raise


class _Merged(Checkpoint):
    """The tensors of a model under its own names. One that is merged is made each time that it is read."""

    def __init__(self, base: Checkpoint, adapter: Checkpoint, settings: _Settings, config: EncoderConfig) -> None:
        self._base, self._adapter = base, adapter
        self._pairs: dict[str, _Pair] = {}  # the model's name of a weight -> what is added to it
        self._saved: dict[str, str] = {}  # the model's name of a tensor -> that of the one in its place
        self._tied: dict[
            str, str
        ] = {}  # the name of a head's weight -> that of the word embeddings, which it begins as
        self._config = config
        prefix = config.architecture.prefix
        stored = {canonical_name(name, prefix): name for name in base}
        words = stored.get(config.architecture.words)
        heads = {f"{names.out}.weight" for names in config.architecture.heads.values() if tied(config, names)}
        halves: dict[str, dict[str, str]] = {}
        for name in adapter:
            inner = name.removeprefix(PREFIX)
            if pair := _PAIR.fullmatch(inner):
                halves.setdefault(pair[1], {})[pair[2]] = name
            elif _OTHER.search(inner):
                part = brief(inner.rpartition(".")[2])
                raise _wrong(adapter, name, "lora_A and lora_B of linear layers", f"{part}, which is {NOT_MERGED}")
            else:
                canonical = canonical_name(inner, prefix)
                self._saved[stored.get(canonical, canonical)] = name
        for module, both in halves.items():
            if len(both) < 2:
                (half, name) = next(iter(both.items()))
                raise _wrong(adapter, name, "lora_A and lora_B", f"lora_{half} alone")
            canonical = canonical_name(f"{module}.weight", prefix)
            if canonical in heads and canonical not in stored and words is not None:
                self._tied[canonical] = words
                stored[canonical] = canonical
            if canonical in stored:
                self._add_pair(stored[canonical], module, both["A"], both["B"], settings)
            elif not re.fullmatch(config.architecture.harmless, canonical):
                raise _wrong(adapter, both["A"], f"a linear layer of {base.paths[0].parent}", "none of that name")

    def _add_pair(self, name: str, module: str, a: str, b: str, settings: _Settings) -> None:
        rank, scale = settings.of(module)
        shape, of_a, of_b = self.shape(name), self._adapter.shape(a), self._adapter.shape(b)
        architecture = self._config.architecture
        canonical = canonical_name(name, architecture.prefix)
        part, turned = architecture.part(self._config, canonical), bool(re.fullmatch(architecture.turned, canonical))
        if len(shape) != 2 or name in self._saved or part in EMBEDDING_PARTS:
            raise _wrong(self._adapter, a, "the LoRA of a linear layer", f"one of {brief(name)}")
        out, width = shape[::-1] if turned else shape
        for half, found, fits in ((a, of_a, (rank, width)), (b, of_b, (out, rank))):
            if found != fits:
                raise _wrong(self._adapter, half, f"the shape {list(fits)}", show(list(found)))
        if self.dtype(name) == "I8":
            wanted = "a model of floats, which can be made int8 once this is merged"
            raise _wrong(self._adapter, a, wanted, f"{brief(name)} in int8")
        self._pairs[name] = _Pair(a, b, scale, turned)

    def __iter__(self) -> Iterator[str]:
        yield from self._base
        yield from (name for name in (*self._saved, *self._tied) if name not in self._base)

    def __contains__(self, name: object) -> bool:
        return name in self._base or name in self._saved or name in self._tied

    def _holder(self, name: str) -> tuple[Checkpoint, str]:
        """What holds a tensor, and its name there."""
        return (self._adapter, self._saved[name]) if name in self._saved else (self._base, self._tied.get(name, name))

    def shape(self, name: str) -> tuple[int, ...]:
        holder, inner = self._holder(name)
        return holder.shape(inner)

    def dtype(self, name: str) -> str:
        holder, inner = self._holder(name)
        return holder.dtype(inner)

    def path(self, name: str) -> Path:
        holder, inner = self._holder(name)
        return holder.path(inner)

    @property
    def paths(self) -> list[Path]:
        return [*self._base.paths, *self._adapter.paths]

    def read(
        self, name: str, rows: tuple[int, int] | None = None, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        holder, inner = self._holder(name)
        values = holder.read(inner, rows, out)
        if name in self._pairs:
            pair = self._pairs[name]
            with np.errstate(all="ignore"):  # what overflows is found below
                if pair.turned:
                    some = slice(None) if rows is None else slice(*rows)
                    values += (self._adapter.read(pair.a).T[some] @ self._adapter.read(pair.b).T) * pair.scale
                else:
                    values += (self._adapter.read(pair.b, rows) @ self._adapter.read(pair.a)) * pair.scale
            if not np.isfinite(values).all():
                raise _wrong(self._adapter, pair.a, f"finite float32 values in {brief(name)}", "others, once merged")
        return values

    def read_int8(self, name: str) -> NDArray[np.int8]:
        holder, inner = self._holder(name)
        return holder.read_int8(inner)

    def place(self, name: str) -> tuple[SafetensorsFile, str]:
        assert name not in self._pairs, f"{name} is merged, and in no file"
        holder, inner = self._holder(name)
        return holder.place(inner)

    def close(self) -> None:
        self._base.close()
        self._adapter.close()


def _wrong(adapter: Checkpoint, name: str, wanted: str, found: str) -> ValueError:
    return ValueError(f"{adapter.path(name)}: {brief(name)}: wanted {wanted}, found {found}")


def _open_adapter(folder: Folder) -> Checkpoint:
    path = folder / ADAPTER_WEIGHTS
    if not folder.has(ADAPTER_WEIGHTS):
        pickled = folder.has("adapter_model.bin")
        why = ": adapter_model.bin is pickled, which npbert does not load: convert it to safetensors" if pickled else ""
        raise FileNotFoundError(f"{folder / ADAPTER_CONFIG}: wanted {ADAPTER_WEIGHTS} beside it, found none{why}")
    file = SafetensorsFile(path)
    return Checkpoint(dict.fromkeys(file.entries, file))


def _read_settings(file: Path, values: dict[str, Any]) -> _Settings:
    try:
        kind = values.get("peft_type")
        if kind != "LORA":
            raise ValueError(f"peft_type: wanted 'LORA', the only one that is merged here, found {show(kind)}")
        if values.get("bias", "none") != "none":
            raise ValueError(f"bias: wanted 'none', found {show(values['bias'])}; {NOT_MERGED}")
        if (given := values.get("init_lora_weights", True)) not in INITIAL:
            raise ValueError(f"init_lora_weights: {show(given)} changes the model's own weights; {NOT_MERGED}")
        if odd := [key for key, value in values.items() if value and key not in KNOWN]:
            raise ValueError(f"{brief(odd[0])}: wanted none, found {show(values[odd[0]])}; {NOT_MERGED}")
        rank, alpha = values.get("r", 8), values.get("lora_alpha", 8)
        ranks, alphas = (_pattern(values, f"{key}_pattern") for key in ("rank", "alpha"))
        for key, number in (("r", rank), *(("rank_pattern", other) for other in ranks.values())):
            check_int(key, number, 1, MAX_RANK)
        for key, number in (("lora_alpha", alpha), *(("alpha_pattern", other) for other in alphas.values())):
            check_number(key, number, -1e9, 1e9)
        return _Settings(rank, alpha, ranks, alphas, bool(values.get("use_rslora", False)))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _pattern(values: dict[str, Any], key: str) -> dict[str, Any]:
    given = values.get(key) or {}
    if not isinstance(given, dict):
        raise ValueError(f"{key}: wanted an object, found {show(given)}")
    for pattern in given:
        if not _PLAIN.fullmatch(pattern):
            raise ValueError(f"{key}: wanted the ends of modules' names, found {show(pattern)}; {NOT_MERGED}")
    return given


def _chosen(pattern: Mapping[str, Any], module: str, otherwise: Any) -> Any:
    """The value of the first name that a module's ends with, at a dot; one behind ^ is the whole."""
    for name, value in pattern.items():
        if re.match(rf"(.*\.)?({name})$", module):
            return value
    return otherwise
