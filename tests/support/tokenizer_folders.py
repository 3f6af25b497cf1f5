"""Tokenizer folders of every family, as they lie on the hub, with small vocabularies made here."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from charsmap import nmt_nfkc
from strings import PIECES, random_texts
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordPiece
from tokenizers.trainers import BpeTrainer
from tokenizing import edit_json

TEXTS = 1000  # to train on
PIECES_OF_UNIGRAM, LONGEST_PIECE = 1000, 16  # characters

ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
CAMEMBERT_TOKENS = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>"]
ALBERT_TOKENS = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]

CLASSES = {
    "bert": "BertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "mpnet": "MPNetTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "albert": "AlbertTokenizer",
}
"""model_type -> class."""


def make_folder(kind: str, minilm: Path, folder: Path) -> Path:
    """A folder for a model_type: tokenizer.json and the family's own files, where it has any."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = (minilm / "vocab.txt").read_text(encoding="utf-8")
    if kind in ("bert", "distilbert", "electra"):
        (folder / "vocab.txt").write_text(tokens, encoding="utf-8")
        if kind == "bert":
            (folder / "tokenizer.json").write_bytes((minilm / "tokenizer.json").read_bytes())
    elif kind == "mpnet":
        mpnet = "<s>\n<pad>\n</s>\n<unk>\n" + tokens + "<mask>\n"
        (folder / "vocab.txt").write_text(mpnet, encoding="utf-8")
        _mpnet(folder / "vocab.txt").save(str(folder / "tokenizer.json"))
    elif kind == "roberta":
        backend = _byte_level_bpe()
        backend.model.save(str(folder))
        backend.save(str(folder / "tokenizer.json"))
    else:
        {"xlm-roberta": _xlm_roberta, "camembert": _camembert, "albert": _albert}[kind]().save(
            str(folder / "tokenizer.json")
        )
    edit_json(folder / "config.json", model_type=kind)
    edit_json(folder / "tokenizer_config.json", tokenizer_class=CLASSES[kind], model_max_length=512)
    return folder


def _mpnet(vocabulary: Path) -> Tokenizer:
    backend = Tokenizer(WordPiece.from_file(str(vocabulary), unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    ends = [(token, backend.token_to_id(token)) for token in ("</s>", "<s>")]
    backend.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "[UNK]", _mask("<mask>")])
    return backend


def _byte_level_bpe() -> Tokenizer:
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=2000,
        special_tokens=[_mask("<mask>") if token == "<mask>" else token for token in ROBERTA_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(random_texts(100, TEXTS), trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return backend


def _xlm_roberta() -> Tokenizer:
    backend = _unigram([normalizers.Precompiled(_charsmap())], ROBERTA_TOKENS[:4], unknown="<unk>")
    backend.add_special_tokens([*ROBERTA_TOKENS[:4], _mask("<mask>")])
    _set_template(backend, "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0")
    return backend


def _camembert() -> Tokenizer:
    backend = _unigram([normalizers.Precompiled(_charsmap())], CAMEMBERT_TOKENS[:-1], unknown="<unk>")
    backend.add_special_tokens([*CAMEMBERT_TOKENS[:-1], _mask("<mask>")])
    _set_template(backend, "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0")
    return backend


def _albert() -> Tokenizer:
    steps = [
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
        normalizers.Precompiled(_charsmap()),
    ]
    backend = _unigram(steps, ALBERT_TOKENS, unknown="<unk>")
    backend.add_special_tokens([*ALBERT_TOKENS[:4], _mask("[MASK]")])
    _set_template(backend, "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")
    return backend


def _unigram(steps: list[Any], tokens: list[str], unknown: str) -> Tokenizer:
    """Of the strings that texts have most of. The library's own trainer finds others by each number of threads."""
    normalizer = normalizers.Sequence(steps) if len(steps) > 1 else steps[0]
    pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    counts: Counter[str] = Counter()
    for text in random_texts(101, TEXTS):
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text)):
            for begin in range(len(word)):
                counts.update(word[begin:end] for end in range(begin + 1, min(begin + LONGEST_PIECE, len(word)) + 1))
    letters = sorted(piece for piece in counts if len(piece) == 1)
    longer = sorted(counts.keys() - {*letters}, key=lambda piece: (-counts[piece] * len(piece), piece))
    pieces = [*letters, *longer[: PIECES_OF_UNIGRAM - len(tokens) - len(letters)]]
    # Few digits, which every version of transformers reads as the same number.
    scores = [(piece, round(math.log(counts[piece] / counts.total()), 5)) for piece in pieces]
    backend = Tokenizer(Unigram([*((token, 0.0) for token in tokens), *scores], tokens.index(unknown)))
    backend.normalizer, backend.pre_tokenizer, backend.decoder = normalizer, pre_tokenizer, decoders.Metaspace()
    return backend


def _set_template(backend: Tokenizer, pair: str) -> None:
    parts = pair.split()
    tokens = {part.split(":")[0] for part in parts if not part.startswith("$")}
    ids = [(token, backend.token_to_id(token)) for token in sorted(tokens)]
    backend.post_processor = processors.TemplateProcessing(single=parts[:3], pair=parts, special_tokens=ids)


def _mask(content: str) -> AddedToken:
    """It takes the white space before it."""
    return AddedToken(content, lstrip=True, special=True, normalized=False)


def _charsmap() -> bytes:
    characters = {character for piece in PIECES for character in piece}
    ranges = (range(0x250), range(0x2000, 0x2200), range(0xFF00, 0xFFEF))
    return nmt_nfkc("".join(sorted(characters | {chr(code) for codes in ranges for code in codes})))
