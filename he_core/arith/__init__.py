"""Who computes: arithmetic given to schemes as objects, one file per library or kernel set."""
