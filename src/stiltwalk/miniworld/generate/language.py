"""Languages of the mini world: their settings, their word forms, and the grammar that turns facts into sentences."""

from dataclasses import dataclass, field, fields
from typing import Any

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.facts import Fact, Noun, choose, seeded_generator
from stiltwalk.utils.errors import InputError

# `facts.assign_split` hashes the repr of these, so they stay plain tuples and lists.
Token = tuple[str, str]  # a word form and its tag (a universal part of speech, unless a module says otherwise)
Question = tuple[Fact, str]  # a fact, and the part of it that the question asks for
Plan = list[Fact | Question | str]  # a sentence before it is put into a language: clauses, questions and single words

SCRIPTS = {  # the consonants and vowels of word forms
    "latin": (
        ["b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"],
        ["a", "e", "i", "o", "u"],
    ),
    "greek": (
        ["β", "γ", "δ", "ζ", "θ", "κ", "λ", "μ", "ν", "ξ", "π", "ρ", "τ", "φ", "χ"],
        ["α", "ε", "η", "ι", "ο", "υ", "ω"],
    ),
    "cyrillic": (
        ["б", "в", "г", "д", "ж", "з", "к", "л", "м", "н", "п", "р", "с", "т", "ф", "х"],
        ["а", "е", "и", "о", "у", "я", "ю"],
    ),
    "georgian": (
        ["ბ", "გ", "დ", "ვ", "ზ", "თ", "კ", "ლ", "მ", "ნ", "პ", "რ", "ს", "ტ", "ფ"],
        ["ა", "ე", "ი", "ო", "უ"],
    ),
}
_OPTIONS: dict[str, tuple[str, ...]] = {
    "order": ("SVO", "SOV", "VSO", "VOS", "OVS", "OSV"),
    "adjective": ("before", "after"),
    "adposition": ("before", "after"),
    "article": ("before", "after", "none"),
    "script": tuple(SCRIPTS),
}
_CONTENT_TAGS = ("NOUN", "VERB", "ADJ", "ADV")


@dataclass(frozen=True)
class Language:
    """A language. Its settings are the keys of `world.languages.<code>`; the defaults are those of English."""

    code: str
    order: str = "SVO"
    """Order of subject, verb and object."""
    adjective: str = "before"
    """Whether an adjective stands before or after its noun."""
    adposition: str = "before"
    """Whether an adposition stands before or after its noun phrase."""
    article: str = "before"
    """Whether an article stands before or after its noun; `none` leaves out articles."""
    script: str = "latin"
    """A key of SCRIPTS."""
    cognates: float = 1.0
    """Share of the concepts whose word form is English's."""
    homographs: float = 1.0
    """Share of English's homographs that are homographs in this language too."""
    resource: float = 1.0
    """Amount of pretraining text, relative to English."""
    forms: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Word form of each concept. A concept that is missing has its English word."""

    @property
    def verb_final(self) -> bool:
        """Whether the verb ends the clause. Its auxiliary then follows it, and question words do not move."""
        return self.order.endswith("V")


def read_languages(world: dict[str, Any]) -> list[Language]:
    """Read English and every language of the `world` section."""
    return [read_language(world, code) for code in ("en", *world["languages"])]


def read_language(world: dict[str, Any], code: str) -> Language:
    """Read one language of the `world` section, which has the keys `seed` and `languages.<code>`.

    Word forms depend only on the seed, the code and the settings of the language. Raises InputError if the language or
    one of its settings is unknown.
    """
    settings: dict[str, Any] = {} if code == "en" else world["languages"].get(code)
    if settings is None:
        raise InputError(
            f"world.languages has no '{code}'; add it there or use one of en, {', '.join(world['languages'])}"
        )
    known = [setting.name for setting in fields(Language) if setting.name not in ("code", "forms")]
    if unknown := [key for key in settings if key not in known]:
        raise InputError(f"world.languages.{code} has the unknown key '{unknown[0]}'; use only {', '.join(known)}")
    language = Language(code, **settings)
    for key, options in _OPTIONS.items():
        if (value := getattr(language, key)) not in options:
            raise InputError(f"world.languages.{code}.{key} is '{value}'; set it to one of {', '.join(options)}")
    language.forms.update(_make_forms(language, world["seed"]))
    return language


def _make_forms(language: Language, seed: int) -> dict[str, str]:
    rng = seeded_generator(seed, "forms", language.code)
    consonants, vowels = (list(rng.permutation(letters)) for letters in SCRIPTS[language.script])
    consonants, vowels = consonants[:10], vowels[:5]
    homograph_forms: dict[str, str] = {}  # the form that all homographs of an English word share
    forms: dict[str, str] = {}
    used: set[str] = set()
    for concept in lexicon.CONCEPTS:
        word, tag = lexicon.split_concept(concept)
        syllables = 2 if tag in _CONTENT_TAGS else 1
        form = ""
        while not form or form in used:
            form = "".join(choose(rng, consonants) + choose(rng, vowels) for _ in range(syllables))
            form += choose(rng, ["", *consonants])
        # One draw per concept decides for all languages: a cognate of one language is also a cognate of every language
        # with a larger share. International words such as "hotel" spread like that.
        if seeded_generator(seed, "cognate", concept).random() < language.cognates:
            form = word
        if seeded_generator(seed, "homograph", language.code, word).random() < language.homographs:
            form = homograph_forms.setdefault(word, form)
        used.add(form)
        forms[concept] = form
    return forms


def render(plan: Plan, language: Language) -> list[Token]:
    """Put a sentence into a language: its words and tags. The first word has a capital letter."""
    tokens = [token for piece in plan for token in _render_piece(piece, language)]
    (form, tag), *rest = tokens
    return [(form[0].upper() + form[1:], tag), *rest]


def render_text(plan: Plan, language: Language) -> str:
    """Put a sentence into a language and write it as text."""
    return join_tokens(render(plan, language))[0]


def join_tokens(tokens: list[Token]) -> tuple[str, list[tuple[int, int]]]:
    """Join tokens to a text, and locate each token in it (start and end in characters).

    Tokens are separated by spaces, except that a punctuation mark follows its word directly.
    """
    text, spans = "", []
    for form, tag in tokens:
        if text and tag != "PUNCT":
            text += " "
        spans.append((len(text), len(text) + len(form)))
        text += form
    return text, spans


def render_clause(fact: Fact, language: Language, asked: str | None = None) -> dict[str, list[Token]]:
    """Put a fact into a language, as a statement or as a question about one part of it.

    asked: the part that the question asks for, one of `subject`, `object`, `place` and `time`; None for a statement.
    Returns the tokens of each part in the order of the language, without the final punctuation mark.
    """
    parts = _render_parts(fact, language)
    if asked:
        parts[asked] = [_render_word(question_word(fact, asked), language)]
    return {part: parts[part] for part in _clause_order(language, asked) if part in parts}


def question_word(fact: Fact, asked: str) -> str:
    """Return the concept of the word that asks for a part of a fact."""
    if asked not in ("subject", "object"):
        return {"place": "where.ADV", "time": "when.ADV"}[asked]
    noun: Noun = getattr(fact, asked)
    is_person = noun.head.endswith(".PROPN") or lexicon.HYPERNYM.get(noun.head, noun.head) == "person.NOUN"
    return "who.PRON" if is_person else "what.PRON"


def _render_piece(piece: Fact | Question | str, language: Language) -> list[Token]:
    if isinstance(piece, str):
        return [_render_word(piece, language)]
    fact, asked = piece if isinstance(piece, tuple) else (piece, None)
    return [token for part in render_clause(fact, language, asked).values() for token in part]


def _render_parts(fact: Fact, language: Language) -> dict[str, list[Token]]:
    auxiliary = [_render_word(fact.auxiliary, language)]
    negation = [_render_word("not.PART", language)] if fact.negated else []
    parts = {
        "subject": _render_noun(fact.subject, language),
        "auxiliary": negation + auxiliary if language.verb_final else auxiliary + negation,
        "verb": [_render_word(fact.verb, language)],
    }
    if fact.object:
        parts["object"] = _render_noun(fact.object, language)
    if fact.adverb:
        parts["adverb"] = [_render_word(fact.adverb, language)]
    if fact.place:
        adposition, noun = fact.place
        parts["place"] = _render_adposition(adposition, _render_noun(noun, language), language)
    if fact.time:
        parts["time"] = _render_adposition("at.ADP", [_render_word(fact.time, language)], language)
    return parts


def _clause_order(language: Language, asked: str | None) -> list[str]:
    order: list[str] = []
    modifiers = ["adverb", "place", "time"]
    for letter in language.order:
        if letter == "V":
            order += [*modifiers, "verb", "auxiliary"] if language.verb_final else ["auxiliary", "verb"]
        else:
            order.append({"S": "subject", "O": "object"}[letter])
    if language.verb_final:
        return order
    order += modifiers
    if asked:  # the question word moves to the front, and in SVO the auxiliary with it: "What will Anna see?"
        order.remove(asked)
        order.insert(0, asked)
        if language.order == "SVO":
            order.remove("auxiliary")
            order.insert(1, "auxiliary")
    return order


def _render_noun(noun: Noun, language: Language) -> list[Token]:
    before, after = (noun.adjective, None) if language.adjective == "before" else (None, noun.adjective)
    words = [before, noun.head, after]
    if language.article == "after":
        words = [*words, noun.determiner]
    elif language.article == "before" or noun.determiner not in ("the.DET", "a.DET"):
        words = [noun.determiner, *words]
    return [_render_word(word, language) for word in words if word]


def _render_adposition(adposition: str, phrase: list[Token], language: Language) -> list[Token]:
    word = _render_word(adposition, language)
    return [word, *phrase] if language.adposition == "before" else [*phrase, word]


def _render_word(concept: str, language: Language) -> Token:
    word, tag = lexicon.split_concept(concept)
    return language.forms.get(concept, word), tag
