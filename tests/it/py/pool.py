"""An application with a filled connection pool, by pymongo: see tests/it/draining.rs, which starts it.

Input: one JSON object (the address, the size of the pool); then a line for each use of the pool. Output: a line of JSON
for each use, the first included: the number of operations that succeeded, the errors, and the connections made so far.
"""

import json
import sys
import threading

import pymongo
from pymongo import monitoring


class Made(monitoring.ConnectionPoolListener):
    """Counts connections made."""

    count = 0

    def connection_created(self, event):
        Made.count += 1

    def pool_created(self, event): ...
    def pool_ready(self, event): ...
    def pool_cleared(self, event): ...
    def pool_closed(self, event): ...
    def connection_ready(self, event): ...
    def connection_closed(self, event): ...
    def connection_check_out_started(self, event): ...
    def connection_check_out_failed(self, event): ...
    def connection_checked_out(self, event): ...
    def connection_checked_in(self, event): ...


def use(collection, size):
    """As many operations at the same time as the pool has connections."""
    errors, lock = [], threading.Lock()

    def one(number):
        try:
            # Takes long enough that no connection serves two threads.
            collection.find_one({"$where": "sleep(300) || true"})
            collection.insert_one({"number": number})
        except Exception as error:  # pylint: disable=broad-except
            with lock:
                errors.append(f"{type(error).__name__}: {error}"[:300])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"done": size - len(errors), "errors": errors, "made": Made.count}), flush=True)


def main():
    task = json.loads(sys.stdin.readline())
    client = pymongo.MongoClient(
        task["uri"], appname="pool", maxPoolSize=task["size"], minPoolSize=task["size"], event_listeners=[Made()]
    )
    collection = client.pool.documents
    collection.insert_one({"number": -1})
    use(collection, task["size"])
    for _ in sys.stdin:
        use(collection, task["size"])


main()
