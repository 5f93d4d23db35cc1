"""One pymongo client that stays connected until its input ends: see tests/it/still_on_plaintext.rs.

Arguments: a MongoDB URI. Prints `ready` once it has pinged.
"""

import sys

import pymongo

with pymongo.MongoClient(sys.argv[1]) as client:
    client.admin.command("ping")
    print("ready", flush=True)
    sys.stdin.read()
