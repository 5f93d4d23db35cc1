"""Fills a set with documents: see tests/it/cluster/sync.rs, which starts it.

Arguments: the unix socket of the primary, how many MiB. Documents of 64 KiB, 256 at a time, each batch acknowledged by
a majority, so that nobody falls behind the oplog.
"""

import sys
import urllib.parse

import pymongo
from pymongo.write_concern import WriteConcern

with pymongo.MongoClient(f"mongodb://{urllib.parse.quote_plus(sys.argv[1])}/?directConnection=true") as client:
    filled = client["filled"].get_collection("documents", write_concern=WriteConcern("majority"))
    for batch in range(int(sys.argv[2]) // 16):
        numbers = range(batch * 256, (batch + 1) * 256)
        filled.insert_many({"_id": number, "text": f"{number:016}" * 4096} for number in numbers)
