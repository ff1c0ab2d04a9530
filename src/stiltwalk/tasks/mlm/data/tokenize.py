"""Masked language modelling: which tokens of a text are to be predicted, chosen once for every row."""

import zlib

import numpy as np
import pyarrow as pa

from stiltwalk.tasks.base_data.row_tokenizer import Features, RowTokenizer
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.labels import IGNORED

MASKED = 0.8  # share of the chosen tokens that become `<mask>`
KEPT = 0.1  # share that stays unchanged; the rest is replaced by random tokens


class Tokenizer(RowTokenizer):
    """Hides tokens as BERT does (section 3.1): 80 % become `<mask>`, 10 % a random token, 10 % stay unchanged.

    options: mask, the share of a text's tokens that are to be predicted. The choice depends on the text alone, not on
    the other rows.
    """

    def tokenize(self, table: pa.Table, gold: bool) -> Features:
        """Return `input_ids`; `labels`, the true ids of the tokens to predict; and `mlm_mask`, 1 at those tokens.

        A text is truncated to `max_length` tokens. The labels of all other tokens are IGNORED. A row has as many loss
        terms as tokens to predict.
        """
        if self.subwords.mask is None:
            raise InputError("the encoder's tokenizer has no mask token, which mlm needs; leave out the task")
        special = np.unique(list(self.subwords.special))
        words = np.setdiff1d(np.arange(self.subwords.size), special)
        features: Features = {name: [] for name in ("input_ids", "labels", "mlm_mask", "loss_terms")}
        texts = table["text"].to_pylist()
        for text, row in zip(texts, self.subwords.ids(texts, self.max_length), strict=True):
            rng = np.random.default_rng(zlib.crc32(text.encode()))
            ids = np.array(row)
            maskable = np.flatnonzero(~np.isin(ids, special))
            chosen = rng.permutation(maskable)[: max(1, round(self.options["mask"] * len(maskable)))]
            draws = rng.random(len(chosen))
            labels = np.full(len(ids), IGNORED)
            labels[chosen] = ids[chosen]
            ids[chosen[draws < MASKED]] = self.subwords.mask
            replaced = chosen[draws >= MASKED + KEPT]
            ids[replaced] = rng.choice(words, len(replaced))
            features["input_ids"].append(ids.tolist())
            features["labels"].append(labels.tolist())
            features["mlm_mask"].append((labels != IGNORED).astype(int).tolist())
            features["loss_terms"].append(len(chosen))
        return features
