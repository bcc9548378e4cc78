"""What each party writes down of every round, hash-chained, and how the parties' logs are checked and compared."""
