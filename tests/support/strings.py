"""Texts of many scripts, and of what is between scripts: marks, joiners, controls, noncharacters."""

from __future__ import annotations

import random

WORDS = """
The quick brown fox's jump, unbelievably electroencephalographically re-run! 3.14 $5 #tag @me a_b
Zażółć gęślą jaźń naïve café Ångström İstanbul ıssız STRASSE straße ﬁn Ǆ ǅ ẞ Ω Å ﷺ Ⅷ ① ²
Привет мир ёлка йод Ελληνικά ὈΔΥΣΣΕΎΣ σίγμας Հայերեն ქართული
שָׁלוֹם עולם مرحبا بِسْمِ اللَّهِ العالم فارسی‌ها
नमस्ते क्षत्रिय বাংলা தமிழ் తెలుగు ಕನ್ನಡ മലയാളം සිංහල ภาษาไทย ລາວ བོད་ မြန်မာ ភាសាខ្មែរ አማርኛ
漢字 日本語 ひらがな カタカナ ﾊﾝｶｸ 한국어 조선말 𠀀𪛖 豈 〇 ＡＢＣ１２３ 、。！，？「」
😀 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 ☃️ ♥ ∑∫√ ½ € ™ … — “q” ‹x› ¿qué? 𝔘𝔫𝔦 🄰
[MASK] [CLS] [SEP] [PAD] [UNK] [mask] [MASK[MASK]] ##ing ##
"""
CONTROLS = "\x00\x01\x07\b\t\n\v\f\r\x1b\x1f\x7f\x80\x85\x9f\xa0\xad"
FORMATS = "\u061c\u180e\u2000\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202e\u2060\u3000\ufeff\U000e0001"
UNASSIGNED = "\ue000\ufdd0\ufffd\ufffe\uffff\U0010ffff"
MARKS = "\u0300\u0301\u0308\u0327\u0323\u0338\u0345\u05b0\u064b\u093c\u3099\u20dd\ufe0f"
RUNS = ["a" * 99, "a" * 100, "a" * 101, "é" * 60, "ǟ" * 40, "wordpieces" * 9, "-" * 30]

PIECES = [*WORDS.split(), *CONTROLS, *FORMATS, *UNASSIGNED, *MARKS, *RUNS]
GLUE = ["", "", "", " ", " ", " ", "  ", "\n", "\t", "\r\n", ".", ",", "-", "/", "'"]


def random_text(dice: random.Random, pieces: int) -> str:
    """So many pieces, some of them broken, joined by almost anything."""
    parts = []
    for _ in range(pieces):
        piece = dice.choice(PIECES)
        if dice.random() < 0.2:
            piece = piece[: dice.randint(0, len(piece))]
        parts += [piece, dice.choice(GLUE)]
    return "".join(parts)


def random_texts(seed: int, count: int, most: int = 12) -> list[str]:
    """So many texts of 0 to `most` pieces."""
    dice = random.Random(seed)
    return [random_text(dice, dice.randint(0, most)) for _ in range(count)]
