"""The three kinds of party and the messages between them: the only things that cross."""
