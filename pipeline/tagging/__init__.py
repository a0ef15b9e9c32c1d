"""Tagging words: tagged sentences, schemes of tags, features of words, decoding, and scores of entities."""
