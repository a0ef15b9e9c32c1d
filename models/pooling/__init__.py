"""Pooling: one vector from those of layers, of a text's tokens, of a word's tokens, or of words."""
