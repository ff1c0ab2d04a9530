"""Text to token ids: the subword tokenizer of an encoder, and the base class of every kind's row tokenizer.

Only the `tokenizers` library is needed here. Importing torch or transformers would add seconds to every tokenising
stage.
"""

import json
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from tokenizers import Encoding, Tokenizer

from stiltwalk.utils.errors import InputError

TEXTS_PER_CALL = 1000  # the library's results are large, so only so many are in memory at once

Texts = Sequence[str] | Sequence[tuple[str, str]]
Features = dict[str, list[Any]]
Truncation = Literal["longest_first", "only_first", "only_second"]
Side = Literal["left", "right"]


class SubwordTokenizer:
    """The fast tokenizer in an encoder's folder.

    Attributes:
        prefix, suffix: the ids that it puts before and after a text, such as those of `<s>` and `</s>`.
        special: the ids of all special tokens.
        mask: the id of the mask token, or None.
        unknown: the id for a word without any subword: `<unk>`, or the last one of `suffix` if there is none.
        word_space: what must stand before a word for it to get the subwords that it gets within a text.
        limit: the largest number of tokens that the encoder reads, infinite if its folder does not say.
        size: the number of tokens in the vocabulary.

    Raises InputError if the folder holds no fast tokenizer, or one that puts no token before a text.

    """

    def __init__(self, folder: Path) -> None:
        try:
            self.backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
            config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ValueError("tokenizer_config.json is not a mapping")
        except Exception as error:  # the library raises no narrower class
            reason = " ".join(str(error).split())
            raise InputError(
                f"{folder} has no tokenizer that can be loaded: {reason}; make, fetch or download the folder again"
            ) from None
        self.backend.no_padding()
        self.backend.no_truncation()
        self.prefix, self.suffix = _surroundings(self.backend.encode("a"))
        if not self.prefix:
            raise InputError(
                f"{folder}/tokenizer.json puts no token such as <s> before a text, which heads read; use another "
                "encoder"
            )
        added = self.backend.get_added_tokens_decoder().items()
        self.special = {*self.prefix, *self.suffix, *(number for number, token in added if token.special)}
        self.mask = _token_id(self.backend, config, "mask_token")
        unknown = _token_id(self.backend, config, "unk_token")
        self.unknown: int = [*self.prefix, *self.suffix][-1] if unknown is None else unknown
        self.word_space = _word_space(self.backend)
        limit = config.get("model_max_length")
        self.limit: float = limit if isinstance(limit, (int, float)) else math.inf
        self.size: int = self.backend.get_vocab_size(with_added_tokens=True)

    def encode(
        self,
        texts: Texts,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
        *,
        side: Side = "right",
        stride: int = 0,
        special_tokens: bool = True,
    ) -> Iterator[Encoding]:
        """Tokenise texts, or pairs of texts, in order and lazily: errors are raised by the first one that is read.

        max_length: most tokens of an encoding, special tokens included; None never truncates.
        truncation: which text of a pair is truncated. side: the end at which tokens are removed.
        stride: how many tokens each window in `overflowing` shares with the window before it.
        special_tokens: whether special tokens are added.

        Raises InputError if the encoder cannot read max_length tokens, or if max_length leaves no room for a text.
        """
        if max_length is not None and max_length > self.limit:
            raise InputError(
                f"params.yaml: a max_length under kinds is {max_length}; the encoder reads at most {self.limit} tokens"
            )
        for start in range(0, len(texts), TEXTS_PER_CALL):
            if max_length is None:  # set again for each chunk: another iterator may have changed it
                self.backend.no_truncation()
            else:
                self.backend.enable_truncation(max_length, stride=stride, strategy=truncation, direction=side)
            chunk: list[Any] = list(texts[start : start + TEXTS_PER_CALL])
            try:
                encodings = self.backend.encode_batch(chunk, add_special_tokens=special_tokens)
            except Exception as error:  # the library raises no narrower class
                culprit = next((text for text in chunk if not self._fits(text, special_tokens)), chunk)
                if max_length is None:
                    raise InputError(f"the tokenizer cannot read {repr(culprit)[:160]}: {error}") from None
                raise InputError(
                    f"max_length {max_length} leaves no room for {repr(culprit)[:160]} ({error}); raise max_length "
                    "under kinds in params.yaml, or shorten the text"
                ) from None
            yield from encodings

    def ids(
        self,
        texts: Texts,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
        *,
        side: Side = "right",
        special_tokens: bool = True,
    ) -> list[list[int]]:
        """Return the token ids of every text or pair of texts; the arguments are those of `encode`."""
        encodings = self.encode(texts, max_length, truncation, side=side, special_tokens=special_tokens)
        return [encoding.ids for encoding in encodings]

    def added_tokens(self, pair: bool) -> int:
        """Return how many special tokens are added to a text or to a pair of texts."""
        return self.backend.num_special_tokens_to_add(pair)

    def _fits(self, text: str | tuple[str, str], special_tokens: bool) -> bool:
        try:
            self.backend.encode_batch([text], add_special_tokens=special_tokens)
        except Exception:  # the library raises no narrower class
            return False
        return True


class RowTokenizer(ABC):
    """Turns the rows of one kind of task into token ids.

    lost: what of the gold no training can learn, counted by its description over all calls of `tokenize`.
    """

    def __init__(self, options: dict[str, Any], subwords: SubwordTokenizer) -> None:
        """options: the kind, its labels, `max_length` in tokens, and the options of the kind itself."""
        self.options = options
        self.subwords = subwords
        self.max_length: int = options["max_length"]
        self.lost = Counter[str]()

    @abstractmethod
    def tokenize(self, table: pa.Table, gold: bool) -> Features:
        """Return the columns of the tokenized rows: `input_ids`, and what the kind's loss and `decode` need.

        The loss only gets columns named `labels`, `mlm_mask`, `start` and `end` (INPUTS in training/batching.py).

        gold: whether the table has the gold column, and labels are to be made from it.

        Most kinds give one tokenized row per row of the table. A kind that gives another number of them also returns
        `row`, the row of the table that each one comes from. A kind whose loss has another number of terms than one
        per tokenized row also returns `loss_terms`, their number.
        """

    def labels_of(self, training_rows: pa.Table) -> list[str]:
        """Return the labels that occur in training rows. It is called if the task's record names no labels."""
        return []


class ParallelTextTokenizer(RowTokenizer):
    """Tokenises rows of a `source` and a `target` text: two sequences per row."""

    def tokenize(self, table: pa.Table, gold: bool) -> Features:
        """Return `input_ids`: for every row the token ids of the source and those of the target."""
        sources, targets = (
            self.subwords.ids(table[column].to_pylist(), self.max_length) for column in ("source", "target")
        )
        return {"input_ids": [[source, target] for source, target in zip(sources, targets, strict=True)]}


def load_tokenizer(options: dict[str, Any], subwords: SubwordTokenizer) -> RowTokenizer:
    """Return the row tokenizer of the kind that the options name."""
    tokenizer: RowTokenizer = import_module(f"stiltwalk.tasks.{options['kind']}.data.tokenize").Tokenizer(
        options, subwords
    )
    return tokenizer


def _surroundings(encoding: Encoding) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after the others."""
    words = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    return encoding.ids[: words[0]], encoding.ids[words[-1] + 1 :]


def _token_id(backend: Tokenizer, config: dict[str, Any], name: str) -> int | None:
    """Return the id of the special token that tokenizer_config.json has under a name, if tokenizer.json has it."""
    token = config.get(name)
    content = token["content"] if isinstance(token, dict) else token
    number: int | None = backend.token_to_id(content) if content else None
    return number


def _word_space(backend: Tokenizer) -> str:
    """Return a space for tokenizers that tell a word after a space from the same word at the beginning of a text.

    Byte-level BPE and Gemma's are such; SentencePiece as in XLM-R and WordPiece are not.
    """
    both, first, alone, after_space = (
        backend.encode(text, add_special_tokens=False).ids for text in ("in a", "in", "a", " a")
    )
    return " " if both != first + alone and both == first + after_space else ""
