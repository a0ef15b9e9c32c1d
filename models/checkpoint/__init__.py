"""A model's files: where they are, what they describe, their tokenizer and weights.

`source` finds and opens a model, `description` reads its configuration and `saved_settings` what
sentence-transformers saved beside it, `fingerprint` digests its files and refuses pickles.
`adapter` says which PEFT adapters are applied, and merges them. `text_tokens`, `pair_tokens`,
`question_tokens` and `span_tokens` tokenize, `output_spec` resolves the requested layers and
poolings, `post_modules` merges layers and applies Dense and Normalize. Only `weights` imports torch
at the top. An ELMo is opened here as well, by `bertvectorizer.models.elmo`.
"""
