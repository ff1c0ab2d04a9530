"""Bitext mining (BUCC 2018): which sentences of two corpora translate each other, without any training.

The method is that of Artetxe and Schwenk (2019, arXiv 1811.01136) as XTREME implements it
(third_party/utils_retrieve.py): see `margin.align`. The threshold with the best F1 on the dev corpora is applied to the
test corpora.
"""

import math
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from stiltwalk.tasks.base_search import RetrievalTask
from stiltwalk.tasks.mining.search.margin import align, best_threshold
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.tables import read_table

Pair = tuple[str, str]  # ids of a source and a target sentence


class Candidate(NamedTuple):
    """A pair of sentence ids with its score."""

    score: float
    source: str
    target: str


class Task(RetrievalTask[Pair]):
    """A match is a pair of ids, of a source and a target sentence.

    options: those of every retrieval task, and neighbours (4 in XTREME).
    """

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.neighbours: int = options["neighbours"]
        if type(self.neighbours) is not int or self.neighbours < 1:
            where = f"params.yaml: kinds.{options['kind']}.neighbours"
            raise InputError(f"{where} is {self.neighbours!r}; it must be a whole number, 1 or more")

    def search(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        table: pa.Table,
        data: Path,
        language: str,
        max_tokens: int,
    ) -> tuple[list[Pair], dict[str, Any]]:
        """Return the mined pairs of the test corpora, by descending score, and facts.

        The facts are the `threshold` with the best F1 on the dev corpora, this `dev_f1` (0 to 100), the number of
        `candidates` in the test corpora, and `threshold_from_test` if dev and test are the same corpora. The threshold
        is None if no candidate of the dev corpora is right. Then no pair is mined.
        """
        dev = read_table(data / f"validation-{language}.parquet")
        lines = (data / f"validation-{language}.tsv").read_text("utf-8").splitlines()
        gold = {(source, target) for source, target in (line.split("\t") for line in lines)}
        dev_rows, test_rows = (
            TokenizedRows.read(data / f"{split}-{language}.arrow") for split in ("validation", "test")
        )
        dev_candidates = self.mine(accelerator, encoder, dev, dev_rows, language, max_tokens, "dev")
        threshold, f1 = self.tune_threshold(dev_candidates, gold)
        is_dev = table.equals(dev)
        if is_dev:
            candidates = dev_candidates
        else:
            candidates = self.mine(accelerator, encoder, table, test_rows, language, max_tokens, "test")
        pairs = [(source, target) for score, source, target in candidates if score >= threshold]
        facts = {
            "threshold": round(threshold, 6) if math.isfinite(threshold) else None,  # JSON has no infinity
            "dev_f1": round(100 * f1, 4),
            "candidates": len(candidates),
        } | ({"threshold_from_test": True} if is_dev else {})
        return pairs, facts

    def mine(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        table: pa.Table,
        rows: TokenizedRows,
        language: str,
        max_tokens: int,
        progress: str = "",
    ) -> list[Candidate]:
        """Return the candidates by descending score. progress: label of progress bars; empty for none.

        As in XTREME, a text that occurs twice on one side is searched once and is in no pair: it is unknown which of
        its ids would be right.
        """
        label = f"{language} {progress}" if progress and accelerator.is_main_process else ""
        hidden_states = [self.hidden_state(encoder)]
        ids: list[list[str]] = []
        vectors: list[torch.Tensor] = []
        for side, of_side in (("source", language), ("target", "en")):
            side_ids, numbers = _distinct_texts(table, side)
            ids.append(side_ids)
            distinct, bar = rows.take(numbers), label and f"{label} {side}"
            (embedded,) = self.embedder.embed(accelerator, encoder, distinct, max_tokens, hidden_states, [of_side], bar)
            vectors.append(embedded.to(accelerator.device))
        alignment = align(vectors[0], vectors[1], self.neighbours, label and f"{label} search")
        matches = zip(*(values.tolist() for values in alignment), strict=True)
        candidates = (Candidate(score, ids[0][source], ids[1][target]) for score, source, target in matches)
        return [candidate for candidate in candidates if candidate.source and candidate.target]

    def tune_threshold(self, candidates: Sequence[Candidate], gold: Set[Pair]) -> tuple[float, float]:
        """Return the threshold with the best F1 on the gold pairs, and that F1 (0 to 1)."""
        correct = [(candidate.source, candidate.target) in gold for candidate in candidates]
        return best_threshold([candidate.score for candidate in candidates], correct, len(gold))

    def write_predictions(self, predictions: list[Pair], table: pa.Table, path: Path) -> None:
        """Write `id<TAB>English id` lines in the order of the predictions, as in XTREME's BUCC submissions."""
        path.write_text("".join(f"{source}\t{target}\n" for source, target in predictions), encoding="utf-8")


def _distinct_texts(table: pa.Table, side: str) -> tuple[list[str], list[int]]:
    """Return the ids of the distinct texts of one side, empty for a text with several, and their rows in the table."""
    of_side = pc.equal(table["side"], side).to_numpy()
    rows = table.filter(pa.array(of_side))
    texts = [text.strip() for text in rows["text"].to_pylist()]
    counts = Counter(texts)
    id_by_text = dict(zip(texts, rows["id"].to_pylist(), strict=True))
    row_by_text = dict(zip(texts, np.flatnonzero(of_side).tolist(), strict=True))
    ids = [sentence_id if counts[text] == 1 else "" for text, sentence_id in id_by_text.items()]
    return ids, list(row_by_text.values())
