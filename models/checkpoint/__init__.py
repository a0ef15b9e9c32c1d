"""What a model's files say: where they are, what they describe, how they cut texts into tokens.

Nothing here imports torch at the top.
"""
