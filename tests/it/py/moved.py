"""An application that does all kinds of operations at once, as pymongo's users do, while its connections are moved: see
tests/it/moving.rs, which starts it.

Input: one JSON object (the address, whether every kind has a client of its own); then a line for each round's beginning and
one for its end. Output: `ready` once every kind has worked; at the end of a round one JSON object: what was done, every
error that the application has seen, and how many unacknowledged writes are gone, each by kind.
"""

import collections
import json
import sys
import threading
import time
import uuid
import warnings

import arrival
import pymongo
from pymongo import CursorType, WriteConcern

DOCUMENTS = 600


class Round:
    """What the threads of one round share."""

    def __init__(self, task, number):
        self.task, self.number = task, number
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.done, self.errors = collections.Counter(), collections.defaultdict(list)
        self.silent, self.acknowledged = [], []
        self.clients, self.threads = {}, []

    def client(self, kind, compressor):
        name = kind if self.task["apart"] else "all"
        if (name, compressor) not in self.clients:
            options = {"compressors": compressor} if compressor else {}
            self.clients[name, compressor] = pymongo.MongoClient(
                self.task["uri"], appname=f"{name}-{compressor}", w="majority" if kind == "x" else 1, **options
            )
        return self.clients[name, compressor]

    def run(self, kind, label, body, thread):
        at = 0
        while not self.stop.is_set():
            try:
                body(thread, at)
            except Exception as error:  # pylint: disable=broad-except
                with self.lock:
                    self.errors[label].append(f"{type(error).__name__}: {error}"[:200])
            else:
                with self.lock:
                    self.done[label] += 1
            at += 1
            self.stop.wait(PAUSE.get(kind, 0.004))

    def start(self):
        for compressor in self.task["compressors"]:
            for kind, make in KINDS.items():
                label = kind
                database = self.client(kind, compressor or None)["moved"]
                for thread in range(THREADS.get(kind, 2)):
                    name = str(uuid.uuid4())
                    body = make(self, database, name)
                    arguments = (kind, label, body, name)
                    self.threads.append(threading.Thread(target=self.run, args=arguments, daemon=True))
        for thread in self.threads:
            thread.start()
        until = time.monotonic() + 60
        while min(self.done[kind] for kind in KINDS) < 3:
            if time.monotonic() > until:
                raise SystemExit(f"not every kind works: {self.done} {dict(self.errors)}")
            time.sleep(0.01)

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        database = next(iter(self.clients.values()))["moved"]

        def absent(names):
            there = {found["_id"] for found in database["silent"].find({}, {"_id": 1})}
            return [name for name in names if name not in there]

        lost = arrival.lost(self.silent, absent)
        there = {found["_id"] for found in database["written"].find({}, {"_id": 1})}
        for client in self.clients.values():
            client.close()
        print(
            json.dumps({
                "done": self.done,
                "errors": {kind: len(errors) for kind, errors in self.errors.items()},
                "texts": {kind: errors[:3] for kind, errors in self.errors.items()},
                "silent": len(self.silent),
                "lost": len(lost),
                "lostAcknowledged": sum(name not in there for name in self.acknowledged),
            }),
            flush=True,
        )


def find(round, database, name):
    def body(thread, at):
        assert database["read"].find_one({"_id": at % DOCUMENTS}) is not None

    return body


def cursor(round, database, name):
    def body(thread, at):
        count = 0
        for _ in database["read"].find({}, batch_size=40):
            count += 1
            if count % 40 == 0:
                time.sleep(0.002)
        assert count == DOCUMENTS, count

    return body


def exhaust(round, database, name):
    def body(thread, at):
        count = sum(1 for _ in database["read"].find({}, cursor_type=CursorType.EXHAUST, batch_size=40))
        assert count == DOCUMENTS, count

    return body


def insert(round, database, name):
    def body(thread, at):
        key = f"{name}/{at}"
        database["written"].insert_one({"_id": key})
        with round.lock:
            round.acknowledged.append(key)

    return body


def update_many(round, database, name):
    collection = database["many"]
    collection.insert_many([{"of": name, "count": 0} for _ in range(5)])
    return lambda thread, at: collection.update_many({"of": name}, {"$inc": {"count": 1}})


def unacknowledged(round, database, name):
    silent = database.get_collection("silent", write_concern=WriteConcern(w=0))

    def body(thread, at):
        key = f"{name}/{at}"
        silent.insert_one({"_id": key, "x": "x" * (at % 7 * 300)})
        with round.lock:
            round.silent.append(key)

    return body


def transaction(round, database, name):
    collection = database["halves"]

    def both(session):
        collection.insert_one({"half": 1}, session=session)
        time.sleep(0.01)
        collection.insert_one({"half": 2}, session=session)

    def body(thread, at):
        with database.client.start_session() as session:
            session.with_transaction(both)

    return body


def change_stream(round, database, name):
    stream = database["written"].watch(max_await_time_ms=100)
    return lambda thread, at: stream.try_next()


KINDS = {
    "find": find,
    "getMore": cursor,
    "exhaust": exhaust,
    "insert": insert,
    "updateMany": update_many,
    "w0": unacknowledged,
    "transaction": transaction,
    "changeStream": change_stream,
}
THREADS = {"w0": 3, "exhaust": 1, "changeStream": 1, "transaction": 1}
PAUSE = {"exhaust": 0.02, "changeStream": 0}


def main():
    # Compression that is not to be had is said by a warning.
    warnings.simplefilter("error", UserWarning)
    task = json.loads(sys.stdin.readline())
    with pymongo.MongoClient(task["uri"]) as client:
        client.moved.drop_collection("read")
        client.moved.read.insert_many({"_id": at, "x": "x" * 100} for at in range(DOCUMENTS))
        client.moved.halves.insert_one({})
    number = 0
    while sys.stdin.readline():
        number += 1
        round = Round(task, number)
        round.start()
        print("ready", flush=True)
        sys.stdin.readline()
        round.finish()


main()
