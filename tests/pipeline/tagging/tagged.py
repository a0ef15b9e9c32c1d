"""What the tests of tagged sentences share."""

from __future__ import annotations

from hypothesis import strategies as st

from bertvectorizer.pipeline.tagging.tagged_sentences import TaggedSentences

TEXT = "In\tO\nNew\tB-LOC\nYork\tI-LOC\n\nYes\tO\n"


SENTENCES = TaggedSentences([["In", "New", "York"], ["Yes"]], [["O", "B-LOC", "I-LOC"], ["O"]])


WORD = st.text(
    st.characters(exclude_characters="\t\r\n", exclude_categories=["Cs"]), min_size=1
).filter(lambda word: word.strip() and not word.startswith(("#", "-DOCSTART-", "\ufeff")))


TAG = st.sampled_from(["O", "B-PER", "I-PER", "B-creative-work"])


WNUT = ("corporation", "creative-work", "group", "location", "person", "product")
