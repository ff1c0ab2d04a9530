"""What the mini world is made of: concepts with their English words; names and numbers, which all languages share.

A concept is written `word.TAG`, TAG being its universal part of speech; concepts of one word are homographs.
"""

_KINDS = {  # of nouns, each with its hypernym; of names as PAN-X has them
    "animal": "dog cat horse cow bird fish duck wolf",
    "person": "doctor teacher farmer cook guard judge singer king",
    "food": "apple rice cheese soup orange drink",
    "vehicle": "car bus boat train ship bike",
    "tool": "hammer knife saw brush watch book",
}
_NAMES = {
    "PER": "Anna Boris Clara David Elena Felix Greta Hugo Irina Jonas Kira Leo Maria Nora Oscar Will May Mark Rose",
    "LOC": "Paris Lima Cairo Oslo Delhi Kyoto",
    "ORG": "Acme Globex Umbra Zorin",
}
_OPPOSITES = {  # pairs that exclude each other
    "ADJ": "big small,old young,hot cold,fast slow,happy sad,clean dirty,light dark",
    "VERB": "push pull,love hate,find lose,buy sell,help fight",
    "ADV": "quickly slowly,today tomorrow,often rarely",
}
_COLOURS = "red green blue black orange"
_WORDS = {
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
_TAGS = {"place": "NOUN", "transitive": "VERB", "intransitive": "VERB", "WH": "ADV", "report": "VERB"}


def _tagged(words: str, tag: str) -> list[str]:
    return [f"{word}.{tag}" for word in words.split()]


HYPONYMS = {f"{hypernym}.NOUN": _tagged(words, "NOUN") for hypernym, words in _KINDS.items()}
HYPERNYM = {hyponym: hypernym for hypernym, hyponyms in HYPONYMS.items() for hyponym in hyponyms}
NAMES = {kind: _tagged(names, "PROPN") for kind, names in _NAMES.items()}
NUMBERS = [f"{number}.NUM" for number in (*range(1, 9), 1914, 1945, 1969, 2001)]
STOP = "..PUNCT"
PUNCTUATION = [STOP, ",.PUNCT", "?.PUNCT", "!.PUNCT"]
WORDS = {name: _tagged(words, _TAGS.get(name, name)) for name, words in _WORDS.items()}  # by part of speech, or finer

EXCLUDED: dict[str, list[str]] = {}  # concept -> those that cannot be true along with it
for _tag, _pairs in _OPPOSITES.items():
    for _first, _second in (_tagged(pair, _tag) for pair in _pairs.split(",")):
        EXCLUDED[_first], EXCLUDED[_second] = [_second], [_first]
for _colour in _tagged(_COLOURS, "ADJ"):
    EXCLUDED[_colour] = [other for other in _tagged(_COLOURS, "ADJ") if other != _colour]
ADJECTIVES = [concept for concept in EXCLUDED if concept.endswith(".ADJ")]

CONCEPTS = [*HYPONYMS, *HYPERNYM, *ADJECTIVES, *(concept for words in WORDS.values() for concept in words)]
