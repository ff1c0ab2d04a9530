"""Rows of multiple choice: `prompt`, `choices` and `label` (number of the right choice, from 0).

A line of a user's own file: `prompt<TAB>answer<TAB>answer ...<TAB>label`, with one answer for each label of the record.
The label is the right answer's.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_data.hub_columns import HubColumns, null_mask
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows, KindRows
from stiltwalk.tasks.base_data.own_lines import check_labels, split_fields
from stiltwalk.utils.errors import InputError


class Rows(KindRows):
    """Prompts with choices, one of which is right."""

    kind = "choice"
    schema = pa.schema({"prompt": pa.string(), "choices": pa.list_(pa.string()), "label": pa.int32()})
    gold = "label"
    non_text_columns = frozenset({"choices", "label"})
    nullable_columns = frozenset({"label"})

    def convert_columns(self, raw: HubColumns) -> ConvertedRows:
        """Put `question` after the prompt and `stem` before every choice (jiant's formats of Cosmos QA and HellaSwag).

        The choices are a list, the `text` of a struct of lists, or the columns choice0, choice1, ... The label is one
        of the struct's own `label`s if it has any, else one of the record's. A row without a label is unfit.
        """
        choices = _read_choices(raw)
        numbers = _right_choices(raw)
        stems = raw.values("stem") if "stem" in raw else [""] * len(raw)
        prompts = raw.values("prompt")
        if "question" in raw:
            prompts = [f"{prompt} {question}" for prompt, question in zip(prompts, raw.values("question"), strict=True)]
        columns: dict[str, Any] = {
            "prompt": prompts,
            "choices": [[f"{stem} {text}".strip() for text in row] for stem, row in zip(stems, choices, strict=True)],
            "label": pa.array(numbers, pa.int32()),
        }
        return ConvertedRows(pa.table(columns), {"unlabelled": null_mask(columns["label"])})

    def parse_line(self, place: str, line: str, labels: Mapping[str, int]) -> dict[str, Any]:
        """Read `prompt<TAB>answer<TAB>answer ...<TAB>label`."""
        prompt, *choices, label = split_fields(place, line, ["prompt", *["answer"] * len(labels), "label"])
        check_labels(place, [label], labels)
        return {"prompt": prompt, "choices": choices, "label": labels[label]}


def _right_choices(raw: HubColumns) -> list[int | None]:
    """Return the number of the right choice of every row, or None if the row has no label."""
    keys = raw.values("label")
    own_labels = (
        [row.get("label") if isinstance(row, dict) else None for row in raw.values("choices")]
        if "choices" in raw
        else []
    )
    if not any(own_labels):
        names = raw.label_names("label", raw.array("label")).to_pylist()
        return [None if name is None else raw.labels.index(name) for name in names]
    numbers: list[int | None] = []
    for row, (key, labels) in enumerate(zip(keys, own_labels, strict=True)):
        names = [str(label) for label in labels or []]
        if key is None or (str(key) in ("", "-1") and str(key) not in names):
            numbers.append(None)
        elif names.count(str(key)) == 1:
            numbers.append(names.index(str(key)))
        else:
            raise InputError(
                f"{raw.where}: row {row} has the label {repr(key)[:80]}; it must be one of the labels of the row's own "
                f"choices, each of which occurs once: {', '.join(names)[:80]}"
            )
    return numbers


def _read_choices(raw: HubColumns) -> list[list[str]]:
    """Return the choices of every row. Raise InputError unless there is one for each label."""
    choices: list[Any]
    if "choices" in raw:
        choices = [row.get("text") if isinstance(row, dict) else row for row in raw.values("choices")]
    else:
        columns = [f"choice{i}" for i in range(len(raw.labels)) if f"choice{i}" in raw]
        choices = [list(row) for row in zip(*map(raw.values, columns), strict=True)]
    for row, texts in enumerate(choices):
        are_texts = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        if not are_texts or len(texts) != len(raw.labels):
            raise InputError(
                f"{raw.where}: row {row} has the choices {repr(texts)[:80]}; it needs one text for each label of its "
                f"record: {', '.join(raw.labels)}"
            )
    return choices
