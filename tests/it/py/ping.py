"""One command by pymongo, whatever its version: see tests/it/support/hosts/set.rs, which starts it.

Arguments: a MongoDB URI, a command as JSON. Prints the answer as one JSON object: `{"answer": ...}`, or `{"error": ...}`
with what the application would see.
"""

import json
import sys

import pymongo

try:
    client = pymongo.MongoClient(sys.argv[1])
    answer = client.admin.command(json.loads(sys.argv[2]))
    print(json.dumps({"answer": answer, "driver": pymongo.version}, default=str))
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}", "driver": pymongo.version}))
