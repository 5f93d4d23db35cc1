"""Many clients that do nothing but ask: see tests/it/cluster/storm.rs, which starts it.

Arguments: address, port, how many. Each connects, asks for `ping` twenty times a second if it is answered, and connects
again when its connection ends. Prints one JSON object a second: connections that are open, answers so far.
"""

import asyncio
import json
import struct
import sys

import bson

HOST, PORT, COUNT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
BODY = b"\0\0\0\0\0" + bson.encode({"ping": 1, "$db": "admin"})
PING = struct.pack("<iiii", 16 + len(BODY), 1, 0, 2013) + BODY


class Storm:
    def __init__(self):
        self.open = 0
        self.answers = 0

    async def client(self):
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, PORT)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            self.open += 1
            try:
                while True:
                    writer.write(PING)
                    length = struct.unpack("<i", await reader.readexactly(4))[0]
                    await reader.readexactly(length - 4)
                    self.answers += 1
                    await asyncio.sleep(0.05)
            except (OSError, EOFError):
                pass
            self.open -= 1
            writer.close()

    async def tell(self):
        while True:
            print(json.dumps({"open": self.open, "answers": self.answers}), flush=True)
            await asyncio.sleep(1)


async def main():
    storm = Storm()
    await asyncio.gather(storm.tell(), *(storm.client() for _ in range(COUNT)))


asyncio.run(main())
