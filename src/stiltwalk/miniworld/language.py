"""Languages of the mini world: word forms, an order for the parts of a clause, and the one grammar that speaks them."""

from dataclasses import dataclass, field
from typing import Any

from stiltwalk.miniworld import lexicon
from stiltwalk.miniworld.facts import Fact, Noun, choose, generator
from stiltwalk.utils.errors import InputError

Token = tuple[str, str]  # a word's form and its universal part of speech
Part = tuple[str, list[Token]]  # a part of a clause: its role and its words

SCRIPTS = {  # consonants and vowels that word forms are made of
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


@dataclass(frozen=True)
class Language:
    """A language's settings, the keys of `world.languages.<code>`; the defaults are English."""

    code: str
    order: str = "SVO"  # of subject, verb and object
    adjective: str = "before"  # ... or after its noun
    adposition: str = "before"  # ... or after its noun phrase
    article: str = "before"  # ... or after its noun, or none
    script: str = "latin"
    cognates: float = 1.0  # share of the concepts that have English's word
    homographs: float = 1.0  # share of English's homographs that are homographs here too
    resource: float = 1.0  # text that the encoder sees in it, relative to English
    forms: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def verb_final(self) -> bool:
        """Whether the verb ends the clause: its auxiliary then follows it, and question words stay in their place."""
        return self.order.endswith("V")


def read_language(world: dict[str, Any], code: str) -> Language:
    """The language of a code, from the `world` section: `seed` and `languages.<code>`.

    Forms depend on the seed, the code and the language's own settings only. Raises InputError for an unknown language.
    """
    if code == "en":
        settings: dict[str, Any] = {}
    elif code in world["languages"]:
        settings = world["languages"][code]
    else:
        raise InputError(f"world.languages has no '{code}'; there are en, {', '.join(world['languages'])}")
    try:
        language = Language(code, **settings)
    except TypeError:
        known = [name for name in Language.__dataclass_fields__ if name not in ("code", "forms")]
        raise InputError(f"world.languages.{code} has keys {list(settings)}; the known ones are {known}") from None
    for key, options in _OPTIONS.items():
        if getattr(language, key) not in options:
            raise InputError(
                f"world.languages.{code}.{key} is '{getattr(language, key)}'; it can be {', '.join(options)}"
            )
    language.forms.update(_make_forms(language, world["seed"]))
    return language


_OPTIONS: dict[str, tuple[str, ...]] = {
    "order": ("SVO", "SOV", "VSO", "VOS", "OVS", "OSV"),
    "adjective": ("before", "after"),
    "adposition": ("before", "after"),
    "article": ("before", "after", "none"),
    "script": tuple(SCRIPTS),
}


def _make_forms(language: Language, seed: int) -> dict[str, str]:
    rng = generator(seed, "forms", language.code)
    consonants, vowels = (list(rng.permutation(letters)) for letters in SCRIPTS[language.script])
    consonants, vowels = consonants[:10], vowels[:5]
    words: dict[str, str] = {}  # an English word's one form here, where its homographs stay homographs
    forms: dict[str, str] = {}
    taken: set[str] = set()
    for concept in lexicon.CONCEPTS:
        word = concept.rpartition(".")[0]
        short = concept.rpartition(".")[2] not in ("NOUN", "VERB", "ADJ", "ADV")
        form = ""
        while not form or form in taken:
            form = "".join(choose(rng, consonants) + choose(rng, vowels) for _ in range(1 if short else 2))
            form += choose(rng, ["", *consonants])
        # A cognate is one in every language with a share as large: words travel, as "hotel" did.
        if generator(seed, "cognate", concept).random() < language.cognates:
            form = word
        if generator(seed, "homograph", language.code, word).random() < language.homographs:
            form = words.setdefault(word, form)
        taken.add(form)
        forms[concept] = form
    return forms


def speak(fact: Fact, language: Language, asked: str | None = None) -> list[Part]:
    """A fact as a statement, or as a question about one of its parts (`subject`, `object`, `place` or `time`).

    Returns the parts in the language's order, without the final punctuation mark.
    """

    def words(*items: str | None) -> list[Token]:
        return [_word(item, language) for item in items if item]

    def noun(phrase: Noun) -> list[Token]:
        order = [phrase.adjective, phrase.head] if language.adjective == "before" else [phrase.head, phrase.adjective]
        if language.article == "before":
            order = [phrase.determiner, *order]
        elif language.article == "after":
            order = [*order, phrase.determiner]
        elif phrase.determiner not in ("the.DET", "a.DET"):
            order = [phrase.determiner, *order]
        return words(*order)

    def adposition(item: str, phrase: list[Token]) -> list[Token]:
        return words(item) + phrase if language.adposition == "before" else phrase + words(item)

    parts: dict[str, list[Token]] = {"subject": noun(fact.subject), "verb": words(fact.verb)}
    if fact.object:
        parts["object"] = noun(fact.object)
    if fact.adverb:
        parts["adverb"] = words(fact.adverb)
    if fact.place:
        parts["place"] = adposition(fact.place[0], noun(fact.place[1]))
    if fact.time:
        parts["time"] = adposition("at.ADP", words(fact.time))
    if asked:
        parts[asked] = words(_question_word(fact, asked))
    auxiliary, negation = words(fact.auxiliary), words("not.PART" if fact.negated else None)

    order: list[str] = []
    modifiers = ["adverb", "place", "time"]
    for letter in language.order:
        if letter == "V":
            order += [*modifiers, "verb", "auxiliary"] if language.verb_final else ["auxiliary", "verb"]
        else:
            order.append({"S": "subject", "O": "object"}[letter])
    if not language.verb_final:
        order += modifiers
        if asked:  # the question word moves to the front, and in SVO the auxiliary with it: "What will Anna see?"
            order.remove(asked)
            order.insert(0, asked)
            if language.order == "SVO":
                order.remove("auxiliary")
                order.insert(1, "auxiliary")
    parts["auxiliary"] = negation + auxiliary if language.verb_final else auxiliary + negation
    return [(role, parts[role]) for role in order if parts.get(role)]


def _question_word(fact: Fact, asked: str) -> str:
    if asked in ("subject", "object"):
        phrase = fact.subject if asked == "subject" else fact.object
        assert phrase is not None
        person = phrase.head.endswith(".PROPN") or lexicon.HYPERNYM.get(phrase.head, phrase.head) == "person.NOUN"
        return "who.PRON" if person else "what.PRON"
    return {"place": "where.ADV", "time": "when.ADV"}[asked]


Plan = list[
    Fact | tuple[Fact, str] | str
]  # a sentence in no language yet: clauses, questions (what is asked), other words


def say(plan: Plan, language: Language) -> list[Token]:
    """A sentence's words and tags in a language, the first with a capital letter."""
    tokens: list[Token] = []
    for piece in plan:
        if isinstance(piece, str):
            tokens.append(_word(piece, language))
        else:
            parts = speak(piece[0], language, piece[1]) if isinstance(piece, tuple) else speak(piece, language)
            tokens += [token for _, part in parts for token in part]
    (form, tag), *rest = tokens
    return [(form[0].upper() + form[1:], tag), *rest]


def _word(item: str, language: Language) -> Token:
    word, _, tag = item.rpartition(".")
    return language.forms.get(item, word), tag


def write(tokens: list[Token]) -> tuple[str, list[tuple[int, int]]]:
    """A text of tokens with each token's span in characters; punctuation marks follow their word without a space."""
    text, spans = "", []
    for form, tag in tokens:
        if text and tag != "PUNCT":
            text += " "
        spans.append((len(text), len(text) + len(form)))
        text += form
    return text, spans
