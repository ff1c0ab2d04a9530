"""Cross-lingual word embeddings from word counts, with which the encoder starts.

The method is cross-language latent semantic indexing (Dumais et al. 1997): a truncated singular value decomposition of
the matrix that says which word occurs in which fact, where each fact is expressed in several languages.
"""

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from stiltwalk.miniworld.encoder.encoder_settings import EncoderSettings
from stiltwalk.miniworld.generate.corpus import draw_any_sentence, language_shares, lower_case_words
from stiltwalk.miniworld.generate.language import Language


def make_word_vectors(
    languages: list[Language], word_ids: dict[str, int], settings: EncoderSettings, rng: np.random.Generator
) -> np.ndarray:
    """Compute an embedding (float32) for each word: an array of words x hidden size.

    The first `components` dimensions hold the meaning of a word as a unit vector. The other dimensions distinguish the
    languages; they are nearly zero for words that all languages share. Words that never occur have a zero vector.
    """
    occurrences, language_counts = _count_words(languages, word_ids, settings, rng)
    facts_with_word = np.diff(occurrences.indptr)
    rarity = np.log(settings.facts / np.maximum(1, facts_with_word))
    svd = TruncatedSVD(settings.components, random_state=int(rng.integers(2**31)))
    meanings = normalize(svd.fit_transform(sparse.diags(rarity) @ occurrences))
    directions = rng.normal(size=(len(languages), settings.hidden_size - settings.components))
    directions = normalize(directions - directions.mean(axis=0))
    accents = normalize(language_counts, norm="l1") @ directions * settings.accent
    return np.hstack([meanings, accents]).astype(np.float32)


def _count_words(
    languages: list[Language], word_ids: dict[str, int], settings: EncoderSettings, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Draw facts and express each in several languages.

    Returns whether a word occurs in a fact (words x facts), and in how many sentences of a language it occurs (words x
    languages).
    """
    shares = language_shares(languages)
    occurrences: list[tuple[int, int]] = []
    language_counts = np.zeros((len(word_ids), len(languages)), np.float32)
    for number in range(settings.facts):
        plan = draw_any_sentence(rng)
        for language in rng.choice(len(languages), settings.tellings, replace=False, p=shares):
            ids = [word_ids[word] for word in lower_case_words([plan], languages[language])]
            occurrences += [(word_id, number) for word_id in ids]
            language_counts[ids, language] += 1
    rows, columns = np.unique(np.array(occurrences), axis=0).T
    ones = np.ones(len(rows), np.float32)
    return sparse.csr_matrix((ones, (rows, columns)), (len(word_ids), settings.facts)), language_counts
