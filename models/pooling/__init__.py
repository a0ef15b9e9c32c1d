"""How vectors of layers, of a text's tokens, of a word's pieces and of words become one."""
