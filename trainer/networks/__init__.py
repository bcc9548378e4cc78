"""Networks as head, body and tail: `registry.build` makes one, `split` says how the parts fit together."""
