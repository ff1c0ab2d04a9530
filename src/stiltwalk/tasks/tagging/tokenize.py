"""Token tagging: words tokenised one by one, a long sentence in several rows."""

from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.tasks.tables import IGNORED


def encode(table: pa.Table, gold: bool, options: dict[str, Any], tokens: Tokens) -> dict[str, list[Any]]:
    """options: labels (names), max_length (tokens of one row, special ones included).

    As in XTREME (third_party/utils_tag.py) every word is tokenised alone, a word without any sub-token stands as
    `<unk>`, and the label lies on a word's first sub-token, whose places are `first`. A sentence that does not fit is
    split into several rows: no word is left out. A gold tag that is none of the labels (a category that is not in the
    training rows) is not learnt from.
    """
    sentences = table["tokens"].to_pylist()
    tags = table["tags"].to_pylist() if gold else [[None] * len(words) for words in sentences]
    numbers = {label: number for number, label in enumerate(options["labels"])}
    pieces = _pieces(sentences, tokens)
    room = options["max_length"] - 2
    start, end = tokens.special["cls_token"], tokens.special["sep_token"]
    features: dict[str, list[Any]] = {name: [] for name in ("input_ids", "labels", "first", "row", "weight")}

    def flush(row: int, ids: list[int], labels: list[int], first: list[int]) -> None:
        features["input_ids"].append([start, *ids, end])
        features["labels"].append([IGNORED, *labels, IGNORED])
        features["row"].append(row)
        features["first"].append(first)
        features["weight"].append(len(first))

    for row, (words, sentence_tags) in enumerate(zip(sentences, tags, strict=True)):
        ids: list[int] = []
        labels: list[int] = []
        first: list[int] = []
        for word, tag in zip(words, sentence_tags, strict=True):
            piece = pieces[word][:room]
            if len(ids) + len(piece) > room:
                flush(row, ids, labels, first)
                ids, labels, first = [], [], []
            first.append(len(ids) + 1)
            ids += piece
            labels += [numbers.get(tag, IGNORED)] + [IGNORED] * (len(piece) - 1)
        flush(row, ids, labels, first)
    if not gold:
        del features["labels"]
    return features


def _pieces(sentences: list[list[str]], tokens: Tokens) -> dict[str, list[int]]:
    """Every distinct word's sub-tokens; never none."""
    words = sorted({word for words in sentences for word in words})
    found = tokens.ids(words, special=False)
    return {word: ids or [tokens.special["unk_token"]] for word, ids in zip(words, found, strict=True)}
