"""A fast tokenizer as it lies beside an encoder, read by the `tokenizers` library alone: no second of imports."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from stiltwalk.utils.errors import InputError

SPECIAL = ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token", "bos_token", "eos_token")
CHUNK = 1000  # rows that are tokenised at once: what the library returns is large


class Tokens:
    """special: the numbers of the special tokens by transformers' names (`cls_token`, ...). size: of the vocabulary."""

    def __init__(self, folder: Path):
        try:
            self.backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
            config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ValueError("tokenizer_config.json is not a mapping")
        except Exception as error:  # the library raises nothing more special
            raise InputError(f"{folder} has no tokenizer that can be loaded: {' '.join(str(error).split())}") from None
        self.backend.no_padding()
        self.special: dict[str, int] = {}
        for name in SPECIAL:
            token = config.get(name)
            number = self.backend.token_to_id(token["content"] if isinstance(token, dict) else token) if token else None
            if number is not None:
                self.special[name] = number
        if missing := [name for name in SPECIAL[:4] if name not in self.special]:
            raise InputError(f"{folder}/tokenizer_config.json names no {missing[0]} that tokenizer.json has")
        limit = config.get("model_max_length")
        self.limit: float = limit if isinstance(limit, (int, float)) else math.inf
        self.size: int = self.backend.get_vocab_size(with_added_tokens=True)

    def encode(
        self,
        texts: Sequence[str] | Sequence[tuple[str, str]],
        max_length: int | None = None,
        cut: str = "longest_first",
        *,
        side: str = "right",
        stride: int = 0,
        special: bool = True,
    ) -> Iterator[Encoding]:
        """Every text, or pair of texts, in their order, of at most `max_length` tokens.

        cut: `longest_first`, `only_first` or `only_second` of a pair. side: where. stride: tokens that a window of
        `overflowing` shares with the one before. special: whether special tokens are added.
        """
        if max_length is None:
            self.backend.no_truncation()
        elif max_length > self.limit:
            raise InputError(
                f"params.yaml: a max_length in kinds is {max_length}; the encoder reads {self.limit} tokens"
            )
        else:
            self.backend.enable_truncation(max_length, stride=stride, strategy=cut, direction=side)
        for start in range(0, len(texts), CHUNK):
            chunk: list[Any] = list(texts[start : start + CHUNK])
            try:
                found = self.backend.encode_batch(chunk, add_special_tokens=special)
            except Exception as error:  # the library raises nothing more special
                odd = next((text for text in chunk if not self._fits(text, special)), chunk)
                raise InputError(
                    f"{max_length} tokens are too few for {repr(odd)[:160]} ({error}); a larger max_length in kinds or "
                    "a shorter text is needed"
                ) from None
            yield from found

    def _fits(self, text: str | tuple[str, str], special: bool) -> bool:
        try:
            self.backend.encode_batch([text], add_special_tokens=special)
        except Exception:
            return False
        return True

    def ids(self, texts: Sequence[str] | Sequence[tuple[str, str]], *arguments: Any, **options: Any) -> list[list[int]]:
        """The token numbers of `encode`."""
        return [found.ids for found in self.encode(texts, *arguments, **options)]

    def added(self, pair: bool) -> int:
        """How many special tokens a text or a pair gets."""
        return self.backend.num_special_tokens_to_add(pair)
