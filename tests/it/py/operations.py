"""The application of writer.py with every kind of operation that may be under way while connections are moved: cursors of
several batches, exhaust cursors, change streams, transactions, writes that no driver retries, writes that want no answer,
and the three compressors.

What is done is counted by kind, in `done`. `lost` names what was done and is not there at the end.
"""

import itertools
import time
import warnings

import arrival
import writer
from pymongo import CursorType
from pymongo.write_concern import WriteConcern

# What a cursor gives, in batches of twenty.
DOCUMENTS = 200
COMPRESSORS = ["snappy", "zstd", "zlib"]
MAJORITY = WriteConcern("majority")
PATIENCE = 60


class Operations(writer.Application):
    def __init__(self, kind):
        self.compressed = {name: writer.Deployment(writer.connect(kind, compressors=name)) for name in COMPRESSORS}
        self.done = {}
        # Numbers of what was done.
        self.sent, self.transactions, self.inserted, self.streamed = [], [], [], []
        self.updates = {"done": 0, "failed": 0}
        self.stream, self.stream_client, self.token = None, None, None
        self.prepare(self.compressed["zlib"].client["app"])
        super().__init__(kind)

    def prepare(self, database):
        for name in ["first", "second", "unanswered", "stream"]:
            database.create_collection(name)
        many = [{"_id": number, "text": "x" * 200} for number in range(DOCUMENTS)]
        database.get_collection("many", write_concern=MAJORITY).insert_many(many)
        counted = [{"_id": number, "count": 0} for number in range(5)]
        database.get_collection("counted", write_concern=MAJORITY).insert_many(counted)

    def works(self):
        works = [
            ("getMore", self.batches()),
            ("exhaust", self.batches(cursor_type=CursorType.EXHAUST)),
            ("update_many", self.update_many),
            ("w:0", self.send()),
            ("transaction", self.transact()),
            ("change stream", self.watch()),
        ]
        works += [(name, self.by_compressed(name)) for name in COMPRESSORS]
        return super().works() + [(kind, self.counted(kind, step)) for kind, step in works]

    def counted(self, kind, step):
        def counted(database):
            step(database)
            with self.lock:
                self.done[kind] = self.done.get(kind, 0) + 1

        return counted

    def batches(self, **options):
        """A cursor from its beginning to its end, every document once."""

        def step(database):
            found = [document["_id"] for document in database["many"].find({}, batch_size=20, **options)]
            if sorted(found) != list(range(DOCUMENTS)):
                raise AssertionError(f"a cursor gave {len(found)} documents instead of {DOCUMENTS}")
            self.count_read()

        return step

    def by_compressed(self, name):
        read = self.batches()

        def step(_database):
            with self.compressed[name].use() as database:
                database["compressed"].insert_one({"text": "y" * 500})
                read(database)

        return step

    def update_many(self, database):
        """No driver retries it."""
        try:
            database.get_collection("counted", write_concern=MAJORITY).update_many({}, {"$inc": {"count": 1}})
            self.updates["done"] += 1
        except Exception:
            self.updates["failed"] += 1
            raise

    def send(self):
        """What the driver has taken without an error counts as done."""
        numbers = itertools.count()

        def step(database):
            number = next(numbers)
            database.get_collection("unanswered", write_concern=WriteConcern(0)).insert_one({"_id": number})
            self.sent.append(number)

        return step

    def transact(self):
        """A transaction that stays open for a while, retried as the driver's own helper does."""
        numbers = itertools.count()

        def step(database):
            number = next(numbers)

            def body(session):
                database["first"].insert_one({"_id": number}, session=session)
                time.sleep(0.05)
                database["second"].insert_one({"_id": number}, session=session)

            with database.client.start_session() as session:
                session.with_transaction(body, write_concern=MAJORITY)
            self.transactions.append(number)

        return step

    def watch(self):
        """One stream for each deployment, which goes on where the last one ended. Every other time there is something to
        see; else the stream waits."""
        numbers = itertools.count()

        def step(database):
            if self.stream_client is not database.client:
                stream = database["stream"].watch([], resume_after=self.token, max_await_time_ms=300)
                self.stream, self.stream_client = stream, database.client
            number = next(numbers)
            if number % 2 == 1:
                self.see(self.stream.try_next())
                return
            database.get_collection("stream", write_concern=MAJORITY).insert_one({"_id": number})
            self.inserted.append(number)
            until = time.monotonic() + PATIENCE
            while self.see(self.stream.try_next()) != number:
                if time.monotonic() > until:
                    raise AssertionError(f"the change stream does not give {number} within {PATIENCE} s")

        return step

    def see(self, event):
        self.token = self.stream.resume_token
        if event is None:
            return None
        self.streamed.append(event["documentKey"]["_id"])
        return self.streamed[-1]

    def change(self, kind):
        for name, deployment in self.compressed.items():
            deployment.change(writer.connect(kind, compressors=name))
        super().change(kind)

    def missing(self, database):
        unanswered = arrival.lost(self.sent, lambda numbers: self.absent(database, "unanswered", numbers))
        halves = [*self.absent(database, "first", self.transactions), *self.absent(database, "second", self.transactions)]
        lost = [f"w:0 {number}" for number in unanswered] + [f"transaction {number}" for number in halves]
        if self.streamed != self.inserted:
            lost.append(f"the change stream gave {self.streamed} of {self.inserted}")
        allowed = range(self.updates["done"], self.updates["done"] + self.updates["failed"] + 1)
        for document in database["counted"].find({}):
            if document["count"] not in allowed:
                lost.append(f"{self.updates} of update_many came to {document}")
        return lost

    def absent(self, database, name, numbers):
        there = {document["_id"] for document in database[name].find({}, {"_id": 1})}
        return [number for number in numbers if number not in there]

    def so_far(self):
        return {**super().so_far(), "done": dict(self.done)}


if __name__ == "__main__":
    # A compressor that is not to be had is said by a warning.
    warnings.simplefilter("error", UserWarning)
    # Many threads, few processors.
    writer.PAUSE = 0.1
    writer.main(Operations(writer.CONFIG["kind"]))
