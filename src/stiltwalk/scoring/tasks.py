"""XTREME's nine tasks: how the files of each are read, measured and summed up (evaluate.py of XTREME).

A tenth, BUCC's gold pairs without distractors, is in no average.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltwalk.scoring.answers import mlqa, squad
from stiltwalk.scoring.files import read_answers, read_lines, read_pairs
from stiltwalk.scoring.metrics import accuracy, chunk_f1, pair_f1, word_tag_scores


@dataclass(frozen=True)
class Task:
    """One task; its score is the mean of the metrics named in `score`."""

    name: str
    group: str
    """Of XTREME's averages; empty for what is no part of them."""
    read: Callable[[Path, Path], tuple[Any, Any]]
    measure: Callable[[Any, Any, str], dict[str, float]]
    score: tuple[str, ...]
    suffix: str = "tsv"
    languages: str = ""
    """XTREME's, in the order in which it adds them up, which decides the last digit of a mean."""


_EM_AND_F1 = ("exact_match", "f1")
_BY_FAMILY = (
    "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh kk tr et "
    "fi hu"
)
_TATOEBA = " ".join(language for language in _BY_FAMILY.split() if language not in ("ms", "en", "yo", "my"))
_XNLI = "ar bg de el en es fr hi ru sw th tr ur vi zh"
_UDPOS = "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"
TASKS = {
    task.name: task
    for task in (
        Task("xnli", "classification", read_lines, accuracy, ("accuracy",), languages=_XNLI),
        Task("pawsx", "classification", read_lines, accuracy, ("accuracy",), languages="de en es fr ja ko zh"),
        Task("udpos", "tagging", read_lines, word_tag_scores, ("f1",), languages=_UDPOS),
        Task("panx", "tagging", read_lines, chunk_f1, ("f1",), languages=_BY_FAMILY),
        Task("xquad", "qa", read_answers, squad, _EM_AND_F1, "json", "en es de el ru tr ar vi th zh hi"),
        Task("mlqa", "qa", read_answers, mlqa, _EM_AND_F1, "json", "en es de ar hi vi zh"),
        Task("tydiqa", "qa", read_answers, squad, _EM_AND_F1, "json", "en ar bn fi id ko ru sw te"),
        Task("bucc2018", "retrieval", read_pairs, pair_f1, ("f1",), languages="de fr ru zh"),
        Task("bucc_goldpairs", "", read_pairs, pair_f1, ("f1",)),
        Task("tatoeba", "retrieval", read_lines, accuracy, ("accuracy",), languages=_TATOEBA),
    )
}
