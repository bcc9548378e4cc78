"""The schemes, one file each; `he_core.registry` is how they are reached."""
