"""Tests of models/training/examples.py."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.models.checkpoint.text_tokens import TokenizedTexts
from bertvectorizer.models.training.examples import Examples, bucketed_batches


def windows(counts: list[list[int]], with_types: bool = False) -> TokenizedTexts:
    """Texts with windows of these lengths, whose tokens are numbered through."""
    lengths = [length for text in counts for length in text]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    ids = np.arange(offsets[-1], dtype=np.int32)
    nothing = np.zeros(len(counts), dtype=np.int64)
    return TokenizedTexts(
        ids=ids,
        offsets=offsets,
        types=ids % 2 if with_types else None,
        first_window=np.concatenate([[0], np.cumsum([len(text) for text in counts])]),
        n_prompt_tokens=0,
        n_tokens=nothing,
        n_lost=nothing,
    )


class TestBatch:
    def test_sequences_stand_one_after_another_the_longest_first(self) -> None:
        examples = Examples(windows([[2], [4, 4, 3], [5]], with_types=True))
        assert len(examples) == 3
        assert examples.n_tokens.tolist() == [2, 11, 5]
        batch = examples.batch(np.array([1, 0]))
        assert batch.sequences.tolist() == [1, 2, 3, 0]
        assert batch.lengths.tolist() == [4, 4, 3, 2]
        assert batch.ids.tolist() == [*range(2, 13), 0, 1]
        assert batch.types is not None
        assert batch.types.tolist() == (batch.ids % 2).tolist()
        assert batch.owners.tolist() == [0, 0, 0, 1]
        np.testing.assert_allclose(batch.shares, np.array([4, 4, 3, 11]) / 11, rtol=1e-7)
        assert batch.shares.dtype == np.float32
        assert batch.words is None
        assert examples.targets_of(np.array([1, 0])).tolist() == [1, 0]

    def test_words_are_found_in_the_row_in_their_order(self) -> None:
        examples = Examples(
            windows([[4], [3, 5], [2], [6]]),
            words=np.array([1, -1, 8, 5, 9, 15, 17]),  # a later window may come first
            first_word=np.array([0, 2, 5, 5, 7]),
        )
        rows = np.array([3, 2, 1, 0])
        batch = examples.batch(rows)
        assert batch.words is not None
        assert batch.words[-1] == -1
        assert batch.ids[batch.words[:-1]].tolist() == [15, 17, 8, 5, 9, 1]
        assert examples.targets_of(rows).tolist() == [5, 6, 2, 3, 4, 0, 1]

    def test_parts_have_each_sequence_and_word_once(self) -> None:
        examples = Examples(
            windows([[2, 4, 7]], with_types=True),
            words=np.array([1, -1, 8, 5]),
            first_word=np.array([0, 4]),
        )
        whole = examples.batch(np.array([0]))
        parts = list(whole.parts(6))
        assert [part.lengths.tolist() for part in parts] == [[7], [4, 2]]
        for name in ("sequences", "ids", "types", "owners", "shares"):
            joined = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_array_equal(joined, getattr(whole, name))
        words = [np.append(part.ids, -1)[part.words] for part in parts]
        assert np.transpose(words).tolist() == [[-1, 1], [-1, -1], [8, -1], [-1, 5]]

    def test_an_example_without_tokens_has_no_share(self) -> None:
        batch = Examples(windows([[3], [2]])).batch(np.array([0, 1]))
        assert batch.shares.tolist() == [1, 1]
        assert Examples(windows([[], [3]])).n_tokens.tolist() == [0, 3]


class TestBuckets:
    @given(st.lists(st.integers(0, 30), max_size=300), st.integers(1, 9), st.integers(0, 2**32 - 1))
    def test_each_example_is_in_one_full_batch(
        self, lengths: list[int], batch_size: int, seed: int
    ) -> None:
        batches = list(
            bucketed_batches(np.array(lengths, dtype=int), batch_size, np.random.default_rng(seed))
        )
        drawn = [row for batch in batches for row in batch.tolist()]
        assert sorted(drawn) == list(range(len(lengths)))
        assert len(batches) == -(-len(lengths) // batch_size)
        assert max(map(len, batches), default=0) <= batch_size

    def test_lengths_of_a_batch_are_alike_and_the_order_is_random(self) -> None:
        lengths = np.random.default_rng(0).permutation(800)
        random = np.random.default_rng(1)
        first, second = (list(bucketed_batches(lengths, 8, random)) for _ in range(2))
        # 100 batches of two buckets, of which each has every second length, more or less.
        assert np.mean([np.ptp(lengths[batch]) for batch in first]) < 30
        starts = [int(lengths[batch[0]]) for batch in first]
        assert starts != sorted(starts, reverse=True)
        assert abs(np.corrcoef(np.arange(100), starts)[0, 1]) < 0.3
        assert {tuple(sorted(batch)) for batch in first} != {
            tuple(sorted(batch)) for batch in second
        }
