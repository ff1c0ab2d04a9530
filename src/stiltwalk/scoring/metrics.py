"""Metrics over labels, tags and pairs. All share one signature: (gold, predicted, language) -> {name: 0..100}."""

from collections.abc import Sequence, Set


def accuracy(gold: Sequence[str], predicted: Sequence[str], language: str) -> dict[str, float]:
    """Share of equal lines, blank lines (ends of sentences in tagging files) left out."""
    equal = [wanted == found for wanted, found in zip(gold, predicted, strict=True) if wanted]
    return {"accuracy": sum(equal) / len(equal) * 100}


def pair_f1(gold: Set[tuple[str, str]], predicted: Set[tuple[str, str]], language: str) -> dict[str, float]:
    """F1, precision and recall of a set of mined pairs (BUCC 2018)."""
    return _percentages(len(gold & predicted), len(predicted), len(gold))


def chunk_f1(gold: Sequence[str], predicted: Sequence[str], language: str) -> dict[str, float]:
    """Micro F1, precision and recall of chunks, as seqeval 0.0.12 counts them."""
    gold_chunks, predicted_chunks = chunks(gold), chunks(predicted)
    return _percentages(len(gold_chunks & predicted_chunks), len(predicted_chunks), len(gold_chunks))


def word_tag_scores(gold: Sequence[str], predicted: Sequence[str], language: str) -> dict[str, float]:
    """XTREME's number for part-of-speech tags, which is chunk F1, and beside it the accuracy over words."""
    return chunk_f1(gold, predicted, language) | accuracy(gold, predicted, language)


def chunks(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Chunks (type, first, last line) of one tag a line, where "" ends a sentence.

    The rule is that of seqeval 0.0.12, which XTREME pins. A tag's first letter is its prefix (B, I, E, S, O), its
    type is what follows the last '-'. A part-of-speech tag has no '-', so its first letter acts as a prefix and
    the whole tag is the type: neighbours with the same tag merge into one chunk, save those in S (SCONJ, SYM), which
    stand alone, and INTJ acts as I. seqeval 1.x takes `tag[1:]` as the type, so that CCONJ equals SCONJ there.
    """
    found = set()
    first, prefix_before, type_before = 0, "O", ""
    for position, line in enumerate([*tags, ""]):
        tag = line or "O"
        prefix, kind = tag[0], tag.rsplit("-", 1)[-1]
        changed = kind != type_before
        if (
            prefix_before in "ES"
            or (prefix_before in "BI" and prefix in "BSO")
            or (prefix_before not in "O." and changed)
        ):
            found.add((type_before, first, position - 1))
        if prefix in "BS" or (prefix_before in "ESO" and prefix in "EI") or (prefix not in "O." and changed):
            first = position
        prefix_before, type_before = prefix, kind
    return found


def f1_precision_recall(correct: int, predicted: int, gold: int) -> tuple[float, float, float]:
    """F1, precision and recall (0..1) from three counts; all 0 where nothing is correct."""
    if not correct:
        return 0.0, 0.0, 0.0
    precision, recall = correct / predicted, correct / gold
    return 2 * precision * recall / (precision + recall), precision, recall


def _percentages(correct: int, predicted: int, gold: int) -> dict[str, float]:
    f1, precision, recall = f1_precision_recall(correct, predicted, gold)
    return {"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100}
