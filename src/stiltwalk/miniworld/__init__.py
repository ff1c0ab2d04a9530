"""The mini multilingual world: data sets in the schemas of the real ones, generated from a seed without any download.

It has a small lexicon, one grammar, and several languages at a graded distance from English, like the synthetic
languages of Dufter and Schütze (2020, arXiv 2005.00396) and K et al. (2020, arXiv 1912.07840). Every fact can be
expressed in every language, so that test sets are parallel across languages wherever XTREME's are.

A guided tour, from words to data sets:

- `lexicon` lists the concepts, names and numbers; `facts` combines them at random into facts, which belong to no
  language.
- `language` reads the settings of a language, makes its word forms, and puts facts into sentences of the language.
- `inference`, `reading`, `paraphrase`, `choices`, `tagging`, `entities`, `categories` and `mining` draw what one form
  of task needs, for example a premise with a hypothesis, or a passage with a question.
- `rows` turns what they draw into table rows, and `source` offers them by the names of the tasks: start reading there.
- `corpus` draws unlabelled text in all languages, `word_vectors` computes cross-lingual word embeddings from it, and
  `pretrain` trains the encoder, which starts with these embeddings (`encoder_settings` lists its parameters).

All randomness comes from `facts.seeded_generator`, and `facts.assign_split` keeps the splits apart.
"""
