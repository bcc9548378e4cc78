"""`python make_keys.py FOLDER` makes a group's keys: FOLDER/clients/secret.key and FOLDER/server/public.key."""

import sys
from pathlib import Path

import he_core
from he_core import keystore

folder = Path(sys.argv[1])
keys = he_core.create("rlwe").generate_keys()
for party in ("clients", "server"):
    (folder / party).mkdir(parents=True)
keystore.save_secret(folder / "clients" / "secret.key", keys)
keystore.save_public(folder / "server" / "public.key", keys.public)
