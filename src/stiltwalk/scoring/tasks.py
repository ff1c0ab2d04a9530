"""XTREME's nine tasks: how the files of each are read, which metrics it has, and how they are averaged.

All follow evaluate.py of XTREME. A tenth task, BUCC's gold pairs without distractors, is in no average.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltwalk.scoring.answers import mlqa_scores, squad_scores
from stiltwalk.scoring.files import read_answers, read_lines, read_pairs
from stiltwalk.scoring.metrics import accuracy, chunk_f1, pair_f1, part_of_speech_scores
from stiltwalk.scoring.values import Check, labels_among, no_check, pairs_of_ids, rows_of_corpus


@dataclass(frozen=True)
class XtremeTask:
    """How one task is scored."""

    name: str
    group: str
    """XTREME's group of tasks; empty if the task is in none of XTREME's averages."""
    read_files: Callable[[Path, Path], tuple[Any, Any]]
    """(label file, prediction file) -> (gold, predicted)."""
    compute_metrics: Callable[[Any, Any, str], dict[str, float]]
    """(gold, predicted, language) -> {metric: 0 to 100}."""
    check_values: Check
    """(label file, prediction file, language) -> warnings about values that cannot be meant."""
    main_metrics: tuple[str, ...]
    """The metrics whose mean is the task's score."""
    suffix: str = "tsv"
    """Of label and prediction files."""
    languages: tuple[str, ...] = ()
    """XTREME's languages, in the order in which it sums them. The order decides the last digit of a mean."""


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_EXACT_MATCH_AND_F1 = ("exact_match", "f1")
_BY_FAMILY = _codes(
    "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh kk tr et "
    "fi hu"
)
_TATOEBA = tuple(language for language in _BY_FAMILY if language not in ("ms", "en", "yo", "my"))
_XNLI = _codes("ar bg de el en es fr hi ru sw th tr ur vi zh")
_UDPOS = _codes("af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh")
_PAWSX = _codes("de en es fr ja ko zh")
_XQUAD = _codes("en es de el ru tr ar vi th zh hi")
_MLQA = _codes("en es de ar hi vi zh")
_TYDIQA = _codes("en ar bn fi id ko ru sw te")
_BUCC = _codes("de fr ru zh")
_INFERENCE = labels_among("entailment", "neutral", "contradiction")
_PARAPHRASE = labels_among("0", "1")
_UPOS = labels_among(*_codes("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"))
_ENTITIES = labels_among(*_codes("O B-PER I-PER B-ORG I-ORG B-LOC I-LOC"))
XTREME_TASKS = {
    task.name: task
    for task in (
        XtremeTask("xnli", "classification", read_lines, accuracy, _INFERENCE, ("accuracy",), languages=_XNLI),
        XtremeTask("pawsx", "classification", read_lines, accuracy, _PARAPHRASE, ("accuracy",), languages=_PAWSX),
        XtremeTask("udpos", "tagging", read_lines, part_of_speech_scores, _UPOS, ("f1",), languages=_UDPOS),
        XtremeTask("panx", "tagging", read_lines, chunk_f1, _ENTITIES, ("f1",), languages=_BY_FAMILY),
        XtremeTask("xquad", "qa", read_answers, squad_scores, no_check, _EXACT_MATCH_AND_F1, "json", _XQUAD),
        XtremeTask("mlqa", "qa", read_answers, mlqa_scores, no_check, _EXACT_MATCH_AND_F1, "json", _MLQA),
        XtremeTask("tydiqa", "qa", read_answers, squad_scores, no_check, _EXACT_MATCH_AND_F1, "json", _TYDIQA),
        XtremeTask("bucc2018", "retrieval", read_pairs, pair_f1, pairs_of_ids, ("f1",), languages=_BUCC),
        XtremeTask("bucc_goldpairs", "", read_pairs, pair_f1, pairs_of_ids, ("f1",)),
        XtremeTask("tatoeba", "retrieval", read_lines, accuracy, rows_of_corpus, ("accuracy",), languages=_TATOEBA),
    )
}
