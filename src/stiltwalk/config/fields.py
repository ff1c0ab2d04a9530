"""Types of the configuration's fields, on top of pydantic, and the one-line messages about wrong values.

`must` pairs a condition with the words of its message: `params.yaml: <dotted key> is <value>; it must be <words>`.
YAML has already decided whether a value is text or a number, so nothing is converted.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PlainValidator,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from stiltwalk.config.orders import NAME
from stiltwalk.utils.errors import InputError

MAX_INT = 2**31 - 1
LONGEST_VALUE = 80  # characters of a value in a message
MAPPING_WORDS = "a mapping of keys and values"


def must(words: str, check: Callable[[Any], bool]) -> PlainValidator:
    """Accept the values for which `check` holds. The message about any other ends in `it must be <words>`."""
    return PlainValidator(_refuse_unless(words, check))


def must_also(words: str, check: Callable[[Any], bool]) -> AfterValidator:
    """Check a value that already has the right type."""
    return AfterValidator(_refuse_unless(words, check))


def _refuse_unless(words: str, check: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        if not check(value):
            raise must_be(words)
        return value

    return validate


def must_be(words: str) -> PydanticCustomError:
    """Return the error for a validator to raise about its value."""
    return PydanticCustomError("must_be", "{words}", {"words": words})


def whole_number(lowest: int = 1, highest: int = MAX_INT) -> PlainValidator:
    """Accept the whole numbers in a range that includes both ends."""
    return must(
        f"a whole number from {lowest} to {highest}", lambda value: type(value) is int and lowest <= value <= highest
    )


def number(low: int, high: int, *, above: bool = False, below: bool = False) -> PlainValidator:
    """Accept the numbers in a range: without its lower end if `above`, or without its upper end if `below`."""
    if above:
        words = f"above {low} and at most {high}"
    elif below:
        words = f"from {low} to below {high}"
    else:
        words = f"from {low} to {high}"

    def check(value: Any) -> bool:
        if type(value) not in (int, float) or not low <= value <= high:
            return False
        return not (above and value == low) and not (below and value == high)

    return must(f"a number {words}", check)


def one_of(*options: str) -> PlainValidator:
    """Accept some texts."""
    return must(f"one of {', '.join(options)}", lambda value: type(value) is str and value in options)


def matching(pattern: str, words: str) -> PlainValidator:
    """Accept the texts that match a regular expression as a whole."""
    return must(words, lambda value: type(value) is str and re.fullmatch(pattern, value, re.ASCII) is not None)


def distinct(least: int = 1) -> WrapValidator:
    """Accept lists of `least` or more items that differ from each other."""

    def validate(value: Any, validate_items: Callable[[Any], list[Any]]) -> list[Any]:
        if not isinstance(value, list) or len(value) < least:
            raise must_be(f"a list of {least} or more")
        items = validate_items(value)
        if repeated := [item for number, item in enumerate(items) if item in items[:number]]:
            raise must_be(f"a list without repetitions; it has {format_value(repeated[0])} twice")
        return items

    return WrapValidator(validate)


def _has_line_characters(value: Any) -> bool:
    """Whether a value is a text without line ends, control characters and surrogates, and not only spaces."""
    if type(value) is not str or not value.strip():
        return False
    return {"Cc", "Cs", "Zl", "Zp"}.isdisjoint(map(unicodedata.category, value))


def _is_line(value: Any) -> bool:
    return _has_line_characters(value) and value == value.strip()


LINE_WORDS = "a text of one line (in quotes, where YAML would read a number or null)"

Flag = Annotated[bool, must("true or false", lambda value: type(value) is bool)]
PositiveInt = Annotated[int, whole_number()]
Length = Annotated[int, whole_number(8)]
Seed = Annotated[int, whole_number(0, 2**63 - 1)]
Share = Annotated[float, number(0, 1)]
PositiveShare = Annotated[float, number(0, 1, above=True)]
Scale = Annotated[float, number(0, MAX_INT)]
PositiveScale = Annotated[float, number(0, MAX_INT, above=True)]
Line = Annotated[str, must(LINE_WORDS, _is_line)]
LineOrNumber = Annotated[
    str | int,
    must(
        "a whole number, true, false or a text of one line", lambda value: type(value) in (int, bool) or _is_line(value)
    ),
]
Characters = Annotated[str, must("characters of one line, and not only spaces", _has_line_characters)]
Text = Annotated[str, must("a text", lambda value: type(value) is str and value.strip() != "")]
Name = Annotated[str, matching(NAME.pattern, "a name of letters, digits, _ and -")]
Language = Annotated[str, matching(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", "the code of a language, such as de or zh-Hant")]
Languages = Annotated[list[Language], distinct()]
Block = Annotated[dict[str, Any], must(MAPPING_WORDS, lambda value: isinstance(value, dict))]


class Model(BaseModel):
    """A mapping with a fixed set of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any) -> Any:
        """Check keys first; otherwise a misspelled key is reported as a missing one."""
        if not isinstance(value, dict):
            raise must_be(MAPPING_WORDS)
        for key in value:
            if key not in cls.model_fields:
                raise PydanticCustomError("unknown_key", "{text}", {"text": _unknown_key(key, cls.model_fields)})
        return value


AnyModel = TypeVar("AnyModel", bound=Model)


def parse(model: type[AnyModel], value: Any, place: str) -> AnyModel:
    """Return a value of the configuration as a model. Raises InputError, naming the first wrong field.

    place: the dotted key of the value; empty for the whole configuration.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(f"params.yaml: {_describe(error.errors(include_url=False)[0], place)}") from None


def require(holds: bool, place: str, value: Any, words: str) -> None:
    """Raise InputError about the value of a dotted key unless a condition holds."""
    if not holds:
        raise InputError(f"params.yaml: {place} is {format_value(value)}; it must be {words}")


def check_keys(keys: Collection[Any], required: Iterable[str], optional: Iterable[str], place: str) -> None:
    """Raise InputError if a mapping has an unknown key or lacks a required one. place: its dotted key."""
    required = list(required)
    known = [*required, *optional]
    for key in keys:
        if key not in known:
            raise InputError(f"params.yaml: {place} {_unknown_key(key, known)}")
    for key in required:
        if key not in keys:
            raise InputError(f"params.yaml: {_missing(f'{place}.{key}')}")


def format_value(value: Any) -> str:
    """Format a value for a message: in one printable line, cut off after 80 characters."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _describe(error: ErrorDetails, place: str) -> str:
    """Say in one line what is wrong.

    If a key is wrong and not its value, pydantic ends the location with `[key]`.
    """
    location = error["loc"]
    about_key = location[-1:] == ("[key]",)
    subject = _dotted(place, location[:-2] if about_key else location) or "the configuration"
    if error["type"] == "missing":
        return _missing(subject)
    if error["type"] == "unknown_key":
        return f"{subject} {error['msg']}"
    words = MAPPING_WORDS if error["type"] == "dict_type" else error["msg"]
    return f"{subject}{' has a key that' if about_key else ''} is {format_value(error['input'])}; it must be {words}"


def _dotted(place: str, location: Iterable[int | str]) -> str:
    """Join a dotted key and the keys and indices below it. Keys that people choose may be long or not printable."""
    parts = [str(part) for part in location]
    parts = [part if part.isprintable() and len(part) <= LONGEST_VALUE else format_value(part) for part in parts]
    return ".".join([place, *parts] if place else parts)


def _unknown_key(key: Any, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(str(key)[:100], known, n=1, cutoff=0)
    return f"has no key {format_value(key)}" + (f"; the nearest is '{nearest[0]}'" if nearest else "")


def _missing(place: str) -> str:
    return f"{place} is missing; `conf/` has to name it"
