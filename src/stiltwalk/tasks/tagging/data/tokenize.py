"""Token tagging: words are tokenised one by one, and a long sentence becomes several rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from stiltwalk.tasks.base_data.row_tokenizer import Features, RowTokenizer
from stiltwalk.utils.labels import IGNORED


@dataclass(slots=True)
class Segment:
    """The words of one sentence that share a sequence of the encoder."""

    sentence: int
    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    """Position of every word's first subword among `ids`."""

    def add(self, subwords: list[int], label: int) -> None:
        """Append a word. Its label lies on its first subword."""
        self.first.append(len(self.ids))
        self.ids += subwords
        self.labels += [label] + [IGNORED] * (len(subwords) - 1)


class Tokenizer(RowTokenizer):
    """Tokenises every word alone, as XTREME does (third_party/utils_tag.py), with the space before it if that matters.

    A word without any subword becomes `<unk>`. A word's label lies on its first subword. A sentence of more than
    `max_length` tokens is split into several rows, so that no word is left out. The loss ignores a gold tag that is not
    among the labels (a category that does not occur in the training rows).
    """

    def tokenize(self, table: pa.Table, gold: bool) -> Features:
        """Return `input_ids`; `labels` of every token if gold; and `first`, the position of each word's first subword.

        A row has as many loss terms as words.
        """
        sentences = table["tokens"].to_pylist()
        tags = table["tags"].to_pylist() if gold else [[None] * len(words) for words in sentences]
        numbers = {label: number for number, label in enumerate(self.options["labels"])}
        ids = self._ids_by_word(sentences)
        segments: list[Segment] = []
        for sentence, (words, word_tags) in enumerate(zip(sentences, tags, strict=True)):
            labels = [numbers.get(tag, IGNORED) for tag in word_tags]
            self.lost["tags that are not among the labels"] += labels.count(IGNORED) if gold else 0
            segments += self._segments(sentence, [ids[word] for word in words], labels)
        prefix, suffix = self.subwords.prefix, self.subwords.suffix
        features: Features = {"input_ids": [[*prefix, *segment.ids, *suffix] for segment in segments]}
        if gold:
            before, after = [IGNORED] * len(prefix), [IGNORED] * len(suffix)
            features["labels"] = [[*before, *segment.labels, *after] for segment in segments]
        features["first"] = [[len(prefix) + place for place in segment.first] for segment in segments]
        features["row"] = [segment.sentence for segment in segments]
        features["loss_terms"] = [len(segment.first) for segment in segments]
        return features

    def labels_of(self, training_rows: pa.Table) -> list[str]:
        """Return the distinct tags of the rows, sorted."""
        return sorted({tag for tags in training_rows["tags"].to_pylist() for tag in tags})

    def _segments(self, sentence: int, words: list[list[int]], labels: list[int]) -> Iterator[Segment]:
        """Yield the segments of one sentence; an empty sentence has one, which is empty."""
        room = self.max_length - len(self.subwords.prefix) - len(self.subwords.suffix)
        segment = Segment(sentence)
        for word, label in zip(words, labels, strict=True):
            subwords = word[:room]
            if len(segment.ids) + len(subwords) > room:
                yield segment
                segment = Segment(sentence)
            segment.add(subwords, label)
        yield segment

    def _ids_by_word(self, sentences: list[list[str]]) -> dict[str, list[int]]:
        """Return at least one subword id for every distinct word."""
        words = sorted({word for words in sentences for word in words})
        ids = self.subwords.ids([f"{self.subwords.word_space}{word}" for word in words], special_tokens=False)
        return {word: word_ids or [self.subwords.unknown] for word, word_ids in zip(words, ids, strict=True)}
