"""Metrics on labels, tags and pairs.

Every metric has the signature (gold, predicted, language) -> {name: value}, with values from 0 to 100.
"""

from collections.abc import Sequence, Set


def accuracy(gold: Sequence[str], predicted: Sequence[str], language: str) -> dict[str, float]:
    """Share of lines that agree. Lines that are blank in `gold` (sentence ends in tagging files) do not count."""
    correct = [gold_line == line for gold_line, line in zip(gold, predicted, strict=True) if gold_line]
    return {"accuracy": sum(correct) / len(correct) * 100}


def pair_f1(gold: Set[tuple[str, str]], predicted: Set[tuple[str, str]], language: str) -> dict[str, float]:
    """F1, precision and recall of a set of mined sentence pairs (BUCC 2018)."""
    return _f1_percentages(len(gold & predicted), len(predicted), len(gold))


def chunk_f1(gold: Sequence[str], predicted: Sequence[str], language: str) -> dict[str, float]:
    """Micro-averaged F1, precision and recall of chunks, as seqeval before 1.0 counts them."""
    gold_chunks, predicted_chunks = extract_chunks(gold), extract_chunks(predicted)
    return _f1_percentages(len(gold_chunks & predicted_chunks), len(predicted_chunks), len(gold_chunks))


def part_of_speech_scores(gold: Sequence[str], predicted: Sequence[str], language: str) -> dict[str, float]:
    """XTREME's metrics for part-of-speech tags, which are those of chunks, and the accuracy over words."""
    return chunk_f1(gold, predicted, language) | accuracy(gold, predicted, language)


def extract_chunks(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Return the chunks (type, first line, last line) of a file with one tag per line, where "" ends a sentence.

    The first letter of a tag is its prefix (B, I, E, S or O); its type is the part after the last '-'. A part-of-speech
    tag has no '-': its first letter acts as a prefix and the whole tag is the type. Adjacent words with the same tag
    therefore form one chunk, except for tags that start with S (SCONJ, SYM), where every word is a chunk; INTJ acts as
    an I- tag.

    This is the rule of seqeval before 1.0. XTREME's install script names no version; 0.0.12 was the newest when XTREME
    was published. seqeval 1.x takes `tag[1:]` as the type, which makes CCONJ equal to SCONJ and changes the third digit
    of some UDPOS scores.
    """
    chunks = set()
    first, previous_prefix, previous_type = 0, "O", ""
    for position, line in enumerate([*tags, ""]):
        tag = line or "O"
        prefix, chunk_type = tag[0], tag.rsplit("-", 1)[-1]
        type_changes = chunk_type != previous_type
        chunk_ends = (
            previous_prefix in "ES"
            or (previous_prefix in "BI" and prefix in "BSO")
            or (previous_prefix not in "O." and type_changes)
        )
        if chunk_ends:
            chunks.add((previous_type, first, position - 1))
        chunk_starts = (
            prefix in "BS" or (previous_prefix in "ESO" and prefix in "EI") or (prefix not in "O." and type_changes)
        )
        if chunk_starts:
            first = position
        previous_prefix, previous_type = prefix, chunk_type
    return chunks


def f1_precision_recall(correct: int, predicted: int, gold: int) -> tuple[float, float, float]:
    """F1, precision and recall (0 to 1) from three counts. All are 0 if nothing is correct."""
    if not correct:
        return 0.0, 0.0, 0.0
    precision, recall = correct / predicted, correct / gold
    return 2 * precision * recall / (precision + recall), precision, recall


def _f1_percentages(correct: int, predicted: int, gold: int) -> dict[str, float]:
    f1, precision, recall = f1_precision_recall(correct, predicted, gold)
    return {"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100}
