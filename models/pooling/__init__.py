"""Pooling: several vectors become one.

`layers` resolves layers, `scalar_mix` weights them, `tokens` pools the tokens of a text,
`subwords` those of a word, `words` word vectors.
"""
