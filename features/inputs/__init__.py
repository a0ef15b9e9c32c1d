"""Inputs of users, read as texts, pairs of texts, words and spans.

`texts` reads columns, `pairs` two texts a row, `documents` lists of words, `spans` tables with
character offsets (`find_word` finds a word); `word_splitting` splits texts into words, and `frames`
reads pandas and polars alike.
"""
