"""A model's files: where they are, what they describe, their tokenizer and weights.

`source` finds them, `description` reads them, `fingerprint` digests them. `text_tokens` and
`span_tokens` tokenize, `output_spec` resolves the requested layers and poolings, `post_modules`
applies Dense and Normalize. Only `weights` imports torch at the top.
"""
