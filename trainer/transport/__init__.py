"""How messages travel. In one process they are handed over as they are."""
