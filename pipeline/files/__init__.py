"""Tables on disk: read in chunks, embedded or predicted, and written."""
