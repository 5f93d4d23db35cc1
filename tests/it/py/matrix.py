"""Runs cells of the matrix by pymongo: see tests/it/matrix.rs, which starts it.

Input: one JSON object a line, a cell each. Output: one JSON object a line, a result each, in any order. It judges
nothing: what a cell should give is the Rust side's to know.
"""

import array
import concurrent.futures
import hashlib
import json
import random
import sys

import pymongo


def work(cell):
    """One client: writes and reads back a large document, and walks the preloaded collection."""
    options = {
        "directConnection": True,
        "serverSelectionTimeoutMS": cell["timeout_ms"],
        "connectTimeoutMS": cell["timeout_ms"],
        "appname": "matrix-" + cell["name"],
    }
    if cell["tls"]:
        options.update(tls=True, tlsCAFile=cell["ca_file"])
        if cell["certificate_key_file"]:
            options["tlsCertificateKeyFile"] = cell["certificate_key_file"]
    with pymongo.MongoClient(cell["host"], cell["port"], **options) as client:
        database = client[cell["database"]]
        return {"big_equal": big(database["big"], cell), **walk(database[cell["collection"]])}


def big(collection, cell):
    """Whether a large document comes back as it was sent."""
    payload = random.Random(cell["name"]).randbytes(cell["big_bytes"])
    key = "pymongo " + cell["name"]
    collection.insert_one({"_id": key, "payload": payload})
    equal = collection.find_one({"_id": key})["payload"] == payload
    collection.delete_one({"_id": key})
    return equal


def walk(collection):
    """How many documents a cursor gives, and the SHA-256 of their ids as 64-bit little endian numbers."""
    ids = array.array("q", (one["_id"] for one in collection.find(sort=[("_id", 1)], batch_size=10_000)))
    if sys.byteorder == "big":
        ids.byteswap()
    return {"count": len(ids), "ids_sha256": hashlib.sha256(ids.tobytes()).hexdigest()}


def attempt(cell):
    """A result, whatever happens: an exception is one of the answers the matrix asks for."""
    try:
        return {"name": cell["name"], "error": None, **work(cell)}
    except Exception as error:  # pylint: disable=broad-except
        return {"name": cell["name"], "error": f"{type(error).__name__}: {error}"}


def main():
    """Eight at a time: a refused client mostly waits for its timeout."""
    cells = [json.loads(line) for line in sys.stdin]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for result in pool.map(attempt, cells):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
