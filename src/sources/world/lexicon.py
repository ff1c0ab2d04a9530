"""What the mini world is made of: concepts with their English words, and names and numbers that all languages share.

A concept is written `word.TAG`, TAG being its universal part of speech; concepts of one word are homographs in English.
"""

NOUNS = {  # hypernym: its hyponyms
    "animal": "dog cat horse cow bird fish duck wolf bear mouse",
    "person": "doctor teacher farmer cook guard judge painter singer child king",
    "food": "apple bread rice cheese soup cake orange egg drink",
    "vehicle": "car bus boat train ship plane bike",
    "tool": "hammer knife saw pen brush watch book",
    "thing": "chair table can light stone coin letter box play",
}
PLACES = [
    "garden",
    "kitchen",
    "park",
    "river",
    "school",
    "market",
    "forest",
    "house",
    "street",
    "beach",
    "well",
    "mountain",
]
OPPOSITES = {  # pairs that exclude each other
    "ADJ": "big small,old young,hot cold,fast slow,rich poor,happy sad,strong weak,clean dirty,quiet loud,light dark,"
    "hard soft",
    "VERB": "push pull,love hate,find lose,buy sell,open close,help fight",
    "ADV": "quickly slowly,today tomorrow,often rarely,well badly",
}
COLOURS = ["red", "green", "blue", "black", "white", "orange"]
TRANSITIVE = [
    "push",
    "pull",
    "love",
    "hate",
    "find",
    "lose",
    "buy",
    "sell",
    "open",
    "close",
    "help",
    "fight",
    "see",
    "call",
    "carry",
    "wash",
    "paint",
    "watch",
    "catch",
    "guard",
    "hide",
    "cook",
]
INTRANSITIVE = [
    "sleep",
    "run",
    "swim",
    "dance",
    "sing",
    "laugh",
    "work",
    "walk",
    "rest",
    "wait",
    "fish",
    "drink",
    "play",
    "train",
]
ADVERBS = ["quickly", "slowly", "today", "tomorrow", "often", "rarely", "well", "badly", "fast", "hard"]
ADPOSITIONS = ["in", "near", "behind", "from"]
AUXILIARIES = ["will", "did", "can", "must", "may"]
DETERMINERS = ["the", "a", "this", "every"]
FUNCTION = [
    "at.ADP",
    "not.PART",
    "and.CCONJ",
    "or.CCONJ",
    "but.CCONJ",
    "because.SCONJ",
    "if.SCONJ",
    "that.SCONJ",
    "she.PRON",
    "he.PRON",
    "it.PRON",
    "they.PRON",
    "this.PRON",
    "who.PRON",
    "what.PRON",
    "where.ADV",
    "when.ADV",
    "oh.INTJ",
    "yes.INTJ",
    "well.INTJ",
    "hello.INTJ",
    "say.VERB",
    "know.VERB",
]

NAMES = {  # shared by all languages, as numbers are
    "PER": [
        "Anna",
        "Boris",
        "Clara",
        "David",
        "Elena",
        "Felix",
        "Greta",
        "Hugo",
        "Irina",
        "Jonas",
        "Kira",
        "Leo",
        "Maria",
        "Nora",
        "Oscar",
        "Paula",
        "Rosa",
        "Simon",
        "Tara",
        "Victor",
        "Will",
        "May",
        "Mark",
        "Rose",
    ],
    "LOC": ["Paris", "Lima", "Cairo", "Oslo", "Delhi", "Kyoto", "Quito", "Turin"],
    "ORG": ["Acme", "Globex", "Initech", "Umbra", "Vandelay", "Zorin"],
}
NUMBERS = [str(number) for number in (*range(1, 13), 15, 20, 30, 1914, 1945, 1969, 1989, 2001)]
PUNCTUATION = [".", ",", "?", "!"]


def _opposites() -> dict[str, list[str]]:
    excluded: dict[str, list[str]] = {}
    for tag, pairs in OPPOSITES.items():
        for first, second in (pair.split() for pair in pairs.split(",")):
            excluded[f"{first}.{tag}"], excluded[f"{second}.{tag}"] = [f"{second}.{tag}"], [f"{first}.{tag}"]
    for colour in COLOURS:
        excluded[f"{colour}.ADJ"] = [f"{other}.ADJ" for other in COLOURS if other != colour]
    return excluded


def _tagged(words: list[str], tag: str) -> list[str]:
    return [f"{word}.{tag}" for word in words]


HYPONYMS = {f"{hypernym}.NOUN": _tagged(words.split(), "NOUN") for hypernym, words in NOUNS.items()}
HYPERNYM = {hyponym: hypernym for hypernym, hyponyms in HYPONYMS.items() for hyponym in hyponyms}
EXCLUDED = _opposites()  # concept -> those that cannot be true along with it
ADJECTIVES = [concept for concept in EXCLUDED if concept.endswith(".ADJ")]

CONCEPTS = list(
    dict.fromkeys(
        [
            *HYPONYMS,
            *HYPERNYM,
            *_tagged(PLACES, "NOUN"),
            *ADJECTIVES,
            *_tagged(TRANSITIVE, "VERB"),
            *_tagged(INTRANSITIVE, "VERB"),
            *_tagged(ADVERBS, "ADV"),
            *_tagged(ADPOSITIONS, "ADP"),
            *_tagged(AUXILIARIES, "AUX"),
            *_tagged(DETERMINERS, "DET"),
            *FUNCTION,
        ]
    )
)
