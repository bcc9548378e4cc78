"""Comparing methods: every variant with every seed as an ordinary run, and what the differences amount to."""
