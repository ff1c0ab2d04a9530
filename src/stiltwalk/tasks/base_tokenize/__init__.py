"""How rows become token ids: the base class of all kinds, the subword tokenizer, and files of token ids."""
