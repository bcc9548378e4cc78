"""What activations at the first cut give away, measured on a trained run: `dcsfl-train leakage` (docs/leakage.md)."""
