"""A busy application on a replica set, while its connections are moved: see tests/it/recycling.rs, which starts it.

Input: one JSON object: the address, how many workers, and how many seconds each pauses after a write and a read. Output:
`ready` once everybody works. Then, for each further line, `all` once every worker has finished an operation that began
after the line was read, and at the end of the input one JSON object with what was done and every error that the
application has seen.
"""

import json
import sys
import threading
import time
import warnings

import pymongo
from pymongo import monitoring


class Changed(monitoring.ConnectionPoolListener):
    """Counts connections made: those that were moved are made again."""

    def __init__(self):
        self.created = 0

    def connection_created(self, event):
        self.created += 1

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


class Work:
    """What all workers share."""

    def __init__(self, task):
        self.task = task
        self.stop = threading.Event()
        self.errors = []
        self.turns = [0] * task["workers"]
        self.done = {"writes": 0, "reads": 0, "transactions": 0, "compressed": 0}
        self.lock = threading.Lock()
        self.listener = Changed()

    def client(self, name, **options):
        return pymongo.MongoClient(
            self.task["uri"], appname=name, event_listeners=[self.listener], maxPoolSize=200, **options
        )

    def count(self, what):
        with self.lock:
            self.done[what] += 1

    def guarded(self, name, body):
        try:
            body()
        except Exception as error:  # pylint: disable=broad-except
            with self.lock:
                self.errors.append(f"{name}: {type(error).__name__}: {error}")


def write_and_read(work, client, number, what):
    """Each worker's documents are numbered without a gap, and each is read back."""
    collection = client.recycling[f"c{number % 4}"]
    at = 0
    while not work.stop.is_set():
        collection.insert_one({"worker": number, "at": at})
        work.count(what)
        found = collection.find_one({"worker": number, "at": at})
        if found is None:
            raise AssertionError(f"document {number}/{at} is lost")
        work.count("reads")
        at += 1
        work.turns[number] += 1
        time.sleep(work.task["pause"])


def transact(work, client):
    """Transactions that stay open for a while, retried as the driver's own helper does."""
    collection = client.recycling.transactions

    def body(session):
        collection.insert_one({"half": 1}, session=session)
        time.sleep(0.3)
        collection.insert_one({"half": 2}, session=session)

    while not work.stop.is_set():
        with client.start_session() as session:
            session.with_transaction(body)
        work.count("transactions")


def watch(work, client, seen):
    """Every insert of worker 0, in order."""
    with client.recycling.c0.watch([{"$match": {"fullDocument.worker": 0}}], max_await_time_ms=500) as stream:
        seen["open"] = True
        while not (work.stop.is_set() and seen["drained"]):
            event = stream.try_next()
            if event is not None:
                seen["events"].append(event["fullDocument"]["at"])


def wait_for_all(work):
    """Two more turns: the first may have begun before."""
    wanted = [turns + 2 for turns in work.turns]
    while any(turns < want for turns, want in zip(work.turns, wanted)) and not work.errors:
        time.sleep(0.01)


def main():
    # Compression that is not to be had is said by a warning.
    warnings.simplefilter("error", UserWarning)
    task = json.loads(sys.stdin.readline())
    work = Work(task)
    client, compressed = work.client("busy"), work.client("compressed", compressors="zstd")
    client.recycling.transactions.insert_one({"first": 1})
    for number in range(4):
        client.recycling[f"c{number}"].create_index(["worker", "at"])
    seen = {"open": False, "drained": False, "events": []}
    threads = [threading.Thread(target=work.guarded, args=("watch", lambda: watch(work, client, seen)))]
    threads[0].start()
    while not seen["open"] and not work.errors:
        time.sleep(0.01)
    for number in range(task["workers"]):
        plain = number % 4 != 3
        one, what = (client, "writes") if plain else (compressed, "compressed")
        body = lambda one=one, number=number, what=what: write_and_read(work, one, number, what)
        threads.append(threading.Thread(target=work.guarded, args=(f"worker {number}", body)))
    threads += [
        threading.Thread(target=work.guarded, args=("transactions", lambda: transact(work, client))) for _ in range(4)
    ]
    for thread in threads[1:]:
        thread.start()
    while min(work.done.values()) < 10 and not work.errors:
        time.sleep(0.01)
    print("ready", flush=True)
    for _ in sys.stdin:
        wait_for_all(work)
        print("all", flush=True)
    work.stop.set()
    for thread in threads[1:]:
        thread.join()
    # What was written before the stop has its event within a few of the server's heartbeats.
    last = client.recycling.c0.count_documents({"worker": 0})
    until = time.monotonic() + 30
    while len(seen["events"]) < last and time.monotonic() < until and threads[0].is_alive():
        time.sleep(0.05)
    seen["drained"] = True
    threads[0].join()
    half = client.recycling.transactions.count_documents({"half": 1})
    print(
        json.dumps({
            "errors": work.errors,
            "done": work.done,
            "created": work.listener.created,
            "events_gapless": seen["events"] == list(range(last)),
            "events": len(seen["events"]),
            "halves_equal": half == client.recycling.transactions.count_documents({"half": 2}),
        }),
        flush=True,
    )


main()
