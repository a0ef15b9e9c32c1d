"""A model's files: where they are, what they describe, how they tokenize texts, their weights.

Only `weights` imports torch at the top.
"""
