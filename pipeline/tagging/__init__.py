"""Tag words: sequences, features, classifiers, decoding, and scores of entities.

`labeler` is the estimator, and `word_tagger` the base that it shares with the fine-tuned one.
`conll` reads `tagged_sentences`, `sentences` checks inputs, `word_features` and `word_shape` make
features, `streamed_logistic` learns from them in chunks, `crf` (with `forward_backward`) learns
transitions, `decoding` and `viterbi` find the best tags under `schemes`, and `scoring` scores them.
"""
