"""What every field of the configuration may be: checked when `dvc exp run` composes params.yaml, before any stage runs.

A rule is what one value has to be (Is), a dictionary of rules for a mapping with exactly these keys (one that ends in
`?` may be left out), or a rule for each value of a mapping (Each) or list (Items). `order`, `targets`, `seed` and
`checkpoints` are checked by planning/order.py, the hyper-parameters of a training by training/settings.py.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stiltwalk.config.orders import FROZEN, PLAIN
from stiltwalk.scoring.tasks import TASKS
from stiltwalk.training.settings import Settings
from stiltwalk.utils.errors import InputError

MOST = 2**31 - 1
ROWS = 10**6  # that the generated world is asked for at most: it has no more that differ


@dataclass(frozen=True)
class Is:
    """One value. `words` end the message that it must be ..."""

    holds: Callable[[Any], bool]
    words: str


@dataclass(frozen=True)
class Each:
    """A mapping of any names that are as `key` has them."""

    key: Is
    value: "Rule"


@dataclass(frozen=True)
class Items:
    """A list of at least so many; those that are no mappings differ from each other."""

    item: "Rule"
    least: int = 1


Rule = Is | Each | Items | dict[str, Any]


def whole(least: int = 1, most: int = MOST) -> Is:
    return Is(lambda value: type(value) is int and least <= value <= most, f"a whole number from {least} to {most}")


def number(low: float, high: float, ends: str = "[]") -> Is:
    """ends: which of the two are allowed, as intervals are written."""

    def holds(value: Any) -> bool:
        return (
            type(value) in (int, float)
            and (low <= value if ends[0] == "[" else low < value)
            and (value <= high if ends[1] == "]" else value < high)
        )

    begin = f"from {low:g}" if ends[0] == "[" else f"above {low:g}"
    return Is(holds, f"a number {begin} to {'' if ends[1] == ']' else 'below '}{high:g}")


def one_of(*options: Any) -> Is:
    return Is(lambda value: type(value) is str and value in options, f"one of {', '.join(options)}")


def matching(pattern: str, words: str) -> Is:
    return Is(lambda value: type(value) is str and re.fullmatch(pattern, value, re.ASCII) is not None, words)


def null_or(rule: Is) -> Is:
    return Is(lambda value: value is None or rule.holds(value), f"null or {rule.words}")


def _is_within_line(value: Any) -> bool:
    kinds = map(unicodedata.category, value) if type(value) is str and value.strip() else ["Cc"]
    return {"Cc", "Cs", "Zl", "Zp"}.isdisjoint(kinds)


def _is_line(value: Any) -> bool:
    return _is_within_line(value) and value == value.strip()


ANY = Is(lambda value: True, "anything")
BOOL = Is(lambda value: type(value) is bool, "true or false")
LINE = Is(_is_line, "a text of one line (in quotes, where YAML would read a number or null)")
CHARACTERS = Is(_is_within_line, "characters of one line, not spaces alone")
NOTE = Is(lambda value: type(value) is str and value.strip() != "", "a text")
SEED = whole(0, 2**63 - 1)
LENGTH = whole(8)
NAME = matching(PLAIN.pattern, "a name of letters, digits, _ and -")
LANGUAGE = matching(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", "the code of a language, as de or zh-Hant")
INVENTED = matching("q[a-t][a-z]", "one of the codes qaa to qtz, which ISO 639 leaves to private use")
REPOSITORY = matching(r"\w[\w.-]*/\w[\w.-]*", "owner/name, as the hub has it")
REVISION = matching(r"\w[\w+.-]*(/\w[\w+.-]*)*", "a branch, tag or commit of the hub")
COUNT = null_or(whole())

SAMPLE = {"train": COUNT, "validation": COUNT, "test": COUNT, "seed": SEED}
TRAINING = dict.fromkeys(Settings.keys(), ANY)
VECTORS: dict[str, Rule] = {"depth": number(0, 1), "pooling": one_of("mean", "first"), "max_length": LENGTH}
KINDS: dict[str, dict[str, Rule]] = {
    "pair": {"max_length": LENGTH},
    "tagging": {"max_length": LENGTH},
    "qa": {
        "max_length": LENGTH,
        "doc_stride": whole(),
        "max_query_length": whole(),
        "max_answer_length": whole(),
        "n_best": whole(),
        "unanswerable?": BOOL,
    },
    "choice": {"max_length": LENGTH},
    "text": {"max_length": LENGTH, "mask": number(0, 1, "(]")},
    "lexical": {
        "layer": whole(),
        "rank": whole(),
        "alpha": number(0, MOST, "(]"),
        "temperature": number(0, MOST, "(]"),
        "max_length": LENGTH,
    },
    "retrieval": VECTORS,
    "mining": VECTORS | {"neighbours": whole()},
}
ENCODERS: dict[str, dict[str, Rule]] = {
    "hub": {"source": ANY, "path": REPOSITORY, "revision": REVISION},
    "world": {
        "source": ANY,
        "seed": SEED,
        **dict.fromkeys(("threads", "layers", "hidden_size", "heads", "intermediate_size"), whole()),
        **dict.fromkeys(("facts", "tellings", "components", "documents", "steps", "batch_size"), whole()),
        "max_length": LENGTH,
        "dropout": number(0, 1, "[)"),
        "position": number(0, MOST),
        "affinity": number(0, MOST),
        "accent": number(0, MOST),
        "translations": number(0, 1),
        "learning_rate": number(0, MOST, "(]"),
        "mask": number(0, 1, "(]"),
        "thaw": number(0, 1),
        "thaw_rate": number(0, MOST),
    },
}
WORLD = {
    "seed": SEED,
    "languages": Each(
        INVENTED,
        {
            "order?": one_of("SVO", "SOV", "VSO", "VOS", "OVS", "OSV"),
            "adjective?": one_of("before", "after"),
            "adposition?": one_of("before", "after"),
            "article?": one_of("before", "after", "none"),
            "script?": one_of("latin", "greek", "cyrillic", "georgian"),
            "cognates?": number(0, 1),
            "homographs?": number(0, 1),
            "resource?": number(0, MOST, "(]"),
        },
    ),
}
COLUMNS: dict[str, dict[str, Rule]] = {
    "pair": dict.fromkeys(("text_a", "text_b", "label"), LINE),
    "tagging": dict.fromkeys(("tokens", "tags"), LINE),
    "qa": dict.fromkeys(("id", "context", "question", "answers"), LINE),
    "text": {"text": LINE},
    "retrieval": dict.fromkeys(("source", "target"), LINE),
    "mining": dict.fromkeys(("source", "target", "source_id", "target_id"), LINE),
}
OWN = ("tagging", "pair", "choice", "qa", "text", "lexical")  # of tasks that sources/own reads; of targets it is mining
LABELLED = ("pair", "choice", "tagging")
SHUFFLED = ("pair", "choice")  # of tags and answers each fits its own row alone
SPLITS = {"retrieval": ("test",), "mining": ("validation", "test")}  # of targets that are not tuned


def check_fields(tree: Mapping[str, Any]) -> None:
    """The composed configuration without what is derived from it; InputError where a field is not as it has to be."""
    kinds, encoder, world = (tree.get(name) for name in ("kinds", "encoder", "world"))
    source = encoder.get("source") if isinstance(encoder, dict) else None
    fields: dict[str, Rule] = dict.fromkeys(("order", "targets", "seed", "checkpoints"), ANY)
    fields |= {"source": one_of("world", "hub"), "sample": SAMPLE, "kinds": KINDS, "training": TRAINING}
    fields |= {"encoder": ENCODERS.get(source, {"source": one_of(*ENCODERS)}) if type(source) is str else ANY}
    fields |= {"world": ANY if world is None else WORLD, "tasks": Each(NAME, ANY), "xtreme": Each(one_of(*TASKS), ANY)}
    _check(tree, fields, "")
    _check(source, one_of(*ENCODERS), "encoder.source")
    Settings.read(tree["training"], "training")
    assert isinstance(kinds, dict) and isinstance(encoder, dict)
    _check_reading(kinds["qa"], "stiltwalk.tasks.qa.head")
    if world is None and "world" in (tree["source"], source):
        raise _bad("world", world, "the generated world's seed and languages, which source or encoder.source asks for")
    if world is not None and not world["languages"]:
        raise _bad("world.languages", {}, "at least one language beside English")
    if source == "world":
        assert isinstance(world, dict)
        _check_encoder(encoder, 1 + len(world["languages"]), kinds)
    groups: dict[str, dict[str, Rule]] = {"tasks": {"shuffled?": BOOL}, "xtreme": _target_keys(tree)}
    for group, own_keys in groups.items():
        for name, record in tree[group].items():
            _check_record(record, f"{group}.{name}", tree, own_keys)


def _target_keys(tree: Mapping[str, Any]) -> dict[str, Rule]:
    return {
        "languages": Items(LANGUAGE),
        "leaked_by?": Items(one_of(*tree["tasks"])),
        "parts?": {"validation": NAME, "test": NAME},
    }


def _check_record(record: Any, where: str, tree: Mapping[str, Any], own_keys: dict[str, Rule]) -> None:
    """One task or target."""
    _check(record, Each(LINE, ANY), where)
    kind, target = record.get("kind"), "languages" in own_keys
    _check(kind, one_of(*KINDS), f"{where}.kind")
    splits = SPLITS.get(kind, ("train", "validation", *(("test",) if target else ())))
    optional = "?" if record.get("own") is True else ""
    fields: dict[str, Rule] = {
        "kind": ANY,
        "own?": BOOL,
        "notes?": Items(NOTE),
        **({"drop_characters?": CHARACTERS} if kind == "tagging" and not optional else {}),
        "options?": {f"{key.removesuffix('?')}?": rule for key, rule in KINDS[kind].items()},
        "training?": {f"{key}?": rule for key, rule in TRAINING.items()},
        "sample?": {f"{key}?": rule for key, rule in SAMPLE.items()},
        **own_keys,
        **{f"{split}{optional}": ANY if isinstance(record.get(split), dict) else Items(ANY) for split in splits},
    }
    if kind in LABELLED:
        own_tags = kind == "tagging" and optional and record.get("labels") is None
        fields["labels?" if own_tags else "labels"] = ANY if own_tags else Items(LINE, least=2)
    _check(record, fields, where)
    if optional and kind not in (("mining",) if target else OWN):
        raise _bad(f"{where}.own", True, f"false: own rows of a {kind} task are not read")
    if optional and target and "parts" not in record:
        raise _bad(f"{where}.parts", None, "there, as validation: dev and test: test")
    if not optional and kind == "lexical":
        raise _bad(f"{where}.own", None, "true: pairs of words are read from your own files alone")
    if record.get("shuffled") and kind not in SHUFFLED:
        raise _bad(f"{where}.shuffled", True, f"false: a {kind} task has no labels that fit any row")
    if target and kind in FROZEN and "en" in record["languages"]:
        raise _bad(f"{where}.languages", "en", "left out: the other side is English")
    if target and kind == "qa":
        for language in record["languages"]:
            try:  # not every rule knows every language
                TASKS[where.removeprefix("xtreme.")].measure([[""]], [""], language)
            except InputError as error:
                raise InputError(f"params.yaml: {where}.languages: {error}") from None
    for split in splits:
        places = record.get(split, [])
        for number_, facts in enumerate(places if isinstance(places, list) else [places]):
            at = f"{where}.{split}" + (f".{number_}" if isinstance(places, list) else "")
            _check(facts, Each(LINE, ANY), at)
            _check(facts, _place(kind, record.get("labels"), facts), at)
            one = "each" in facts or not (split == "test" or kind == "mining")
            _check_place(facts, at, facts.get("each") or ([] if one else record["languages"]))
    options = tree["kinds"][kind] | record.get("options", {})
    if kind == "qa":
        _check_reading(options, f"{where}.options")
    if tree["encoder"]["source"] == "world":
        _check(options["max_length"], whole(1, tree["encoder"]["max_length"]), f"{where}.options.max_length")
    if tree["source"] == "world":
        for name, count in (tree["sample"] | record.get("sample", {})).items():
            if name in splits:
                _check(count, whole(1, ROWS), f"{where}.sample.{name}" if "sample" in record else f"sample.{name}")
    Settings.read(tree["training"] | record.get("training", {}), f"{where}.training")


def _place(kind: str, labels: Any, facts: dict[str, Any]) -> dict[str, Rule]:
    """One place on the hub with the rows of a split."""
    columns, found = COLUMNS.get(kind, {}), facts.get("columns")
    if kind == "choice":  # the answers lie in one column, or in one each
        one = isinstance(found, dict) and "choices" in found
        answers = ["choices"] if one else [f"choice{number_}" for number_ in range(len(labels))]
        columns = dict.fromkeys(("prompt", "label", "question?", "stem?", *answers), LINE)
    by_language = isinstance(facts.get("published"), dict)
    return {
        "path": REPOSITORY,
        "name": LINE,
        "split": matching(r"\w[\w.-]*(\[\d{0,9}:\d{0,9}\])?", "a split or a part of it, as train[300:]"),
        "revision": REVISION,
        "columns": columns,
        "where?": Each(
            LINE, Is(lambda value: type(value) in (int, bool) or _is_line(value), f"{LINE.words} or a number")
        ),
        "codes?": Each(LANGUAGE, LINE),
        "each?": Items(LANGUAGE),
        "published?": Each(LANGUAGE, whole(0)) if by_language else null_or(whole(0)),
    }


def _check_place(facts: dict[str, Any], where: str, languages: list[str]) -> None:
    """languages: that the place is read in."""
    begin, _, end = facts["split"].partition("[")[2].rstrip("]").partition(":")
    if end and int(end) <= int(begin or 0):
        raise _bad(f"{where}.split", facts["split"], "a part that has rows")
    templates = [facts["name"], *facts.get("where", {}).values()]
    if len(languages) > 1 and not any("{language}" in str(text) for text in templates):
        raise _bad(
            f"{where}.name", facts["name"], "different by {language}, or `where` must be: else all get the same rows"
        )
    if missing := [language for language in languages if language not in facts.get("codes", languages)]:
        raise _bad(f"{where}.codes", list(facts["codes"]), f"with '{missing[0]}', which is among the languages")


def _check_reading(options: dict[str, Any], where: str) -> None:
    """How exactly windows overlap is checked where the tokenizer is at hand (encoding/qa.py)."""
    room = options["max_length"] - options["max_query_length"]
    if options["doc_stride"] >= room:
        raise _bad(f"{where}.doc_stride", options["doc_stride"], f"below {room}, max_length less max_query_length")


def _check_encoder(encoder: dict[str, Any], languages: int, kinds: dict[str, Any]) -> None:
    """What the fields of a generated world's encoder must be to each other."""
    for name, most, of in (
        ("tellings", languages, "the number of languages, English among them"),
        ("components", min(encoder["hidden_size"] - 1, encoder["facts"]), "facts, and below hidden_size"),
        ("batch_size", encoder["documents"], "documents"),
    ):
        if encoder[name] > most:
            raise _bad(f"encoder.{name}", encoder[name], f"at most {most}: {of}")
    if encoder["hidden_size"] % encoder["heads"]:
        raise _bad("encoder.hidden_size", encoder["hidden_size"], "a multiple of encoder.heads")
    if encoder["hidden_size"] % 2:
        raise _bad("encoder.hidden_size", encoder["hidden_size"], "even")
    _check(kinds["lexical"]["layer"], whole(1, encoder["layers"]), "stiltwalk.tasks.lexical.head.layer")
    for kind, options in kinds.items():
        _check(options["max_length"], whole(1, encoder["max_length"]), f"kinds.{kind}.max_length")


def _check(value: Any, rule: Rule, where: str) -> None:
    if isinstance(rule, Is):
        if not rule.holds(value):
            raise _bad(where, value, rule.words)
        return
    if isinstance(rule, Items):
        if not isinstance(value, list) or len(value) < rule.least:
            raise _bad(where, value, f"a list of {rule.least} or more")
        for number_, item in enumerate(value):
            _check(item, rule.item, f"{where}.{number_}")
            if isinstance(rule.item, Is) and item in value[:number_]:
                raise _bad(f"{where}.{number_}", item, "there once")
        return
    if not isinstance(value, dict):
        raise _bad(where or "the configuration", value, "a mapping of keys and values")
    if isinstance(rule, Each):
        for key, inner in value.items():
            _check(key, rule.key, f"{where} has a key that")
            _check(inner, rule.value, f"{where}.{key}")
        return
    rules = {key.removesuffix("?"): (inner, key) for key, inner in rule.items()}
    for key, inner in value.items():
        if key not in rules:
            near = difflib.get_close_matches(str(key)[:100], rules, 1, 0)
            raise InputError(
                f"params.yaml: {where or 'the configuration'} has no key {_shown(key)}; the nearest is '{near[0]}'"
            )
        _check(inner, rules[key][0], f"{where}.{key}".lstrip("."))
    if missing := [key for key, (_, full) in rules.items() if key not in value and not full.endswith("?")]:
        raise InputError(f"params.yaml: {f'{where}.{missing[0]}'.lstrip('.')} is missing; `conf/` has to name it")


def _bad(where: str, value: Any, words: str) -> InputError:
    return InputError(f"params.yaml: {where} is {_shown(value)}; it must be {words}")


def _shown(value: Any) -> str:
    shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
