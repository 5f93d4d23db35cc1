"""An application of a replica set, which must not notice anything: see tests/it/support/hosts/app.rs, which starts it.

Argument: one JSON object: members, certificates, the marker that every write carries, how to connect. Input: `tls` or
`plaintext` deploys it anew, without a gap: the new client takes over before the old one is closed; `finish` ends it.
Output: one JSON object a line: `started`, a `beat` five times a second, `moved`, and `finished` with what was found of
all that had been acknowledged.
"""

import contextlib
import datetime
import json
import os
import sys
import threading
import time
import traceback

import pymongo
from pymongo import ReadPreference
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

CONFIG = json.loads(sys.argv[1])
MARKER = CONFIG["marker"]
PAUSE = 0.03
SAYING = threading.Lock()
# Seconds for a new deployment, below the test's own patience: then it says where it is.
STUCK = 220


def say(event, **more):
    """One line for the test, by one write: `print` writes the line's end by another, and a second thread may come between."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with SAYING:
        sys.stdout.write(json.dumps({"timestamp": now, "event": event, **more}) + "\n")
        sys.stdout.flush()


def give_up(what, thread):
    """Ends the process, whose other threads would go on, and says what the thread is doing."""
    say("failed", what=what, stack=traceback.format_stack(sys._current_frames()[thread]))
    os._exit(1)


def connect(kind, **more):
    """A client as an application has it: a pool, retryable reads and writes, everything else by default."""
    options = {"replicaSet": CONFIG["set"], "appname": "writer", **more}
    if kind == "tls":
        options.update(tls=True, tlsCAFile=CONFIG["ca"], tlsCertificateKeyFile=CONFIG["certificate"])
    client = pymongo.MongoClient(CONFIG["hosts"], **options)
    client.admin.command("ping")
    return client


class Deployment:
    """The client in use. It changes between two operations, and the old one is closed after its last."""

    def __init__(self, client):
        self.changed = threading.Condition()
        self.client = client
        # By identity: to pymongo, two clients of one set are equal.
        self.users = {id(client): 0}

    @contextlib.contextmanager
    def use(self):
        with self.changed:
            client = self.client
            self.users[id(client)] += 1
        try:
            yield client["app"]
        finally:
            with self.changed:
                self.users[id(client)] -= 1
                self.changed.notify_all()

    def change(self, client):
        with self.changed:
            old, self.client = self.client, client
            self.users[id(client)] = 0
            self.changed.wait_for(lambda: self.users[id(old)] == 0)
            del self.users[id(old)]
        old.close()


class Application:
    """Writers, a counter and readers; what they did and what they saw."""

    def __init__(self, kind):
        self.deployment = Deployment(connect(kind))
        self.lock = threading.Lock()
        self.acknowledged = []
        self.increments = 0
        self.reads = 0
        self.errors = {}
        self.longest = 0.0
        self.stop = threading.Event()
        works = self.works()
        # Everybody has done one thing before the application counts as started.
        self.began = threading.Barrier(len(works) + 1)
        self.threads = [threading.Thread(target=self.go_on, args=work) for work in works]
        for thread in self.threads:
            thread.start()
        self.began.wait()

    def works(self):
        """What its threads do: the kind, and one operation of it, over and over."""
        works = [("insert", self.write(number)) for number in range(2)]
        return works + [("update", self.count()), ("find", self.read_primary()), ("find", self.read_secondary())]

    def go_on(self, kind, step):
        self.once(kind, step)
        self.began.wait()
        while not self.stop.wait(PAUSE):
            self.once(kind, step)

    def once(self, kind, step):
        """One operation. Whatever it raises has reached the application."""
        started = time.monotonic()
        try:
            with self.deployment.use() as database:
                step(database)
        except Exception as error:
            with self.lock:
                text = f"{kind}: {type(error).__name__}: {error}"[:300]
                self.errors[text] = self.errors.get(text, 0) + 1
        with self.lock:
            self.longest = max(self.longest, time.monotonic() - started)

    def write(self, writer):
        numbers = iter(range(1 << 60))

        def step(database):
            number = next(numbers)
            name = f"{writer}-{number}"
            writes = database.get_collection("writes", write_concern=WriteConcern("majority"))
            writes.insert_one({"_id": name, "marker": MARKER, "text": f"{MARKER} number {number}"})
            with self.lock:
                self.acknowledged.append(name)

        return step

    def count(self):
        def step(database):
            counters = database.get_collection("counters", write_concern=WriteConcern("majority"))
            counters.update_one({"_id": "counter"}, {"$inc": {"count": 1}, "$set": {"marker": MARKER}}, upsert=True)
            with self.lock:
                self.increments += 1

        return step

    def read_primary(self):
        def step(database):
            with self.lock:
                name = self.acknowledged[-1] if self.acknowledged else None
            if name and database["writes"].find_one({"_id": name}) is None:
                raise AssertionError(f"the primary does not know {name}, which was acknowledged")
            self.count_read()

        return step

    def read_secondary(self):
        def step(database):
            preference = ReadPreference.SECONDARY_PREFERRED
            database.get_collection("writes", read_preference=preference).find_one({"marker": MARKER})
            self.count_read()

        return step

    def count_read(self):
        with self.lock:
            self.reads += 1

    def redeploy(self, kind):
        stuck = threading.Timer(STUCK, give_up, args=(f"redeploy as {kind}", threading.get_ident()))
        stuck.start()
        self.change(kind)
        stuck.cancel()
        say("moved", kind=kind)

    def change(self, kind):
        self.deployment.change(connect(kind))

    def so_far(self):
        with self.lock:
            return {
                "acknowledged": len(self.acknowledged),
                "reads": self.reads,
                "errors": dict(self.errors),
                "longest": round(self.longest, 3),
            }

    def missing(self, database):
        """What has been done, and is not there, beside the writes of `write`."""
        return []

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        database = self.deployment.client["app"]
        writes = database.get_collection("writes", read_concern=ReadConcern("majority"))
        there = {found["_id"] for found in writes.find({}, {"_id": 1})}
        counter = database["counters"].find_one({"_id": "counter"}) or {"count": 0}
        lost = [name for name in self.acknowledged if name not in there] + self.missing(database)
        counts = {"increments": self.increments, "counter": counter["count"]}
        say("finished", lost=lost[:100], **counts, **self.so_far())


def beat(application):
    while not application.stop.wait(0.2):
        say("beat", **application.so_far())


def main(application):
    say("started")
    threading.Thread(target=beat, args=(application,), daemon=True).start()
    for line in sys.stdin:
        word = line.strip()
        try:
            if word == "finish":
                return application.finish()
            application.redeploy(word)
        except Exception:
            say("failed", what=word, stack=traceback.format_exc())
            os._exit(1)


if __name__ == "__main__":
    main(Application(CONFIG["kind"]))
