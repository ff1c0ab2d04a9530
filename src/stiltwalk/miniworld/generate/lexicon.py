"""The vocabulary of the mini world: concepts with their English words, and the names and numbers of all languages.

A concept is written `word.TAG`, where TAG is its universal part of speech (`dog.NOUN`). Concepts that share a word,
such as `fish.NOUN` and `fish.VERB`, are homographs in English. What a seed draws depends on the order of the lists.
"""

_NOUNS_BY_HYPERNYM = {
    "animal": "dog cat horse cow bird fish duck wolf",
    "person": "doctor teacher farmer cook guard judge singer king",
    "food": "apple rice cheese soup orange drink",
    "vehicle": "car bus boat train ship bike",
    "tool": "hammer knife saw brush watch book",
}
_NAMES_BY_TYPE = {  # the entity types of PAN-X; some first names are also English words
    "PER": "Anna Boris Clara David Elena Felix Greta Hugo Irina Jonas Kira Leo Maria Nora Oscar Will May Mark Rose",
    "LOC": "Paris Lima Cairo Oslo Delhi Kyoto",
    "ORG": "Acme Globex Umbra Zorin",
}
_OPPOSITES = {
    "ADJ": "big small,old young,hot cold,fast slow,happy sad,clean dirty,light dark",
    "VERB": "push pull,love hate,find lose,buy sell,help fight",
    "ADV": "quickly slowly,today tomorrow,often rarely",
}
_COLOURS = "red green blue black orange"
_WORDS_BY_CLASS = {
    "place": "garden kitchen park river school forest well beach",
    "transitive": "push pull love hate find lose buy sell help fight see watch guard cook",
    "intransitive": "sleep run swim dance fish drink play train",
    "ADV": "quickly slowly today tomorrow often rarely well fast",
    "ADP": "in near behind at",
    "AUX": "will did can may",
    "DET": "the a this every",
    "PART": "not",
    "CCONJ": "and or but",
    "SCONJ": "because if that",
    "PRON": "she he it they this who what",
    "WH": "where when",
    "INTJ": "oh yes well hello",
    "report": "say know",
}
_TAG_OF_CLASS = {"place": "NOUN", "transitive": "VERB", "intransitive": "VERB", "WH": "ADV", "report": "VERB"}


def split_concept(concept: str) -> tuple[str, str]:
    """Split a concept, name, number or punctuation mark into its word and its tag."""
    word, _, tag = concept.rpartition(".")
    return word, tag


def _concepts(words: str, tag: str) -> list[str]:
    return [f"{word}.{tag}" for word in words.split()]


def _incompatible_concepts() -> dict[str, list[str]]:
    """Map each adjective, verb or adverb with opposites to the concepts that cannot be true along with it."""
    incompatible: dict[str, list[str]] = {}
    for tag, pairs in _OPPOSITES.items():
        for first, second in (_concepts(pair, tag) for pair in pairs.split(",")):
            incompatible[first], incompatible[second] = [second], [first]
    colours = _concepts(_COLOURS, "ADJ")
    for colour in colours:
        incompatible[colour] = [other for other in colours if other != colour]
    return incompatible


HYPONYMS = {f"{hypernym}.NOUN": _concepts(words, "NOUN") for hypernym, words in _NOUNS_BY_HYPERNYM.items()}
HYPERNYM = {hyponym: hypernym for hypernym, hyponyms in HYPONYMS.items() for hyponym in hyponyms}
NAMES = {kind: _concepts(names, "PROPN") for kind, names in _NAMES_BY_TYPE.items()}
NUMBERS = [f"{number}.NUM" for number in (*range(1, 9), 1914, 1945, 1969, 2001)]
PUNCTUATION = ("..PUNCT", ",.PUNCT", "?.PUNCT", "!.PUNCT")
FULL_STOP, COMMA, QUESTION_MARK, EXCLAMATION_MARK = PUNCTUATION
# The keys are universal parts of speech, or finer classes such as transitive verbs.
WORDS = {name: _concepts(words, _TAG_OF_CLASS.get(name, name)) for name, words in _WORDS_BY_CLASS.items()}
INCOMPATIBLE = _incompatible_concepts()
ADJECTIVES = [concept for concept in INCOMPATIBLE if concept.endswith(".ADJ")]
CONCEPTS = [*HYPONYMS, *HYPERNYM, *ADJECTIVES, *(concept for words in WORDS.values() for concept in words)]
