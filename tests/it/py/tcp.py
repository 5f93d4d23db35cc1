"""A small TCP server and client for tests in namespaces.

serve ADDRESS@PORT ...        says `ready`, then answers each connection with `PORT LOCAL-ADDRESS` and sends lines back
connect FROM TO@PORT ...      prints what each answers, or `refused`, or `nothing`; FROM `-` is any address
hold TO@PORT                  connects, prints the answer; sends each line of its input on the same connection, and prints
                              what comes back, or `broken`
"""

import socket
import sys
import threading

# Longer than the first repetition of a SYN, so that a busy machine does not look like a firewall.
PATIENCE = 2.5


def listening(where):
    address, port = where.rsplit("@", 1)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((address, int(port)))
    listener.listen()
    return listener


def answer(listener):
    while True:
        connection, _ = listener.accept()
        address, port = connection.getsockname()[:2]
        connection.sendall(f"{port} {address}\n".encode())
        threading.Thread(target=send_back, args=(connection,), daemon=True).start()


def send_back(connection):
    for line in connection.makefile("rb"):
        connection.sendall(line)


def connect(source, where):
    address, port = where.rsplit("@", 1)
    bound = None if source == "-" else (source, 0)
    connection = socket.create_connection((address, int(port)), PATIENCE, bound)
    reader = connection.makefile()
    return connection, reader, reader.readline().strip()


def main():
    verb, *rest = sys.argv[1:]
    if verb == "serve":
        listeners = [listening(where) for where in rest]
        for listener in listeners:
            threading.Thread(target=answer, args=(listener,), daemon=True).start()
        print("ready", flush=True)
        threading.Event().wait()
    elif verb == "hold":
        connection, reader, said = connect("-", rest[0])
        print(said, flush=True)
        for line in sys.stdin:
            try:
                connection.sendall(line.encode())
                print(reader.readline().strip() or "broken", flush=True)
            except OSError:
                print("broken", flush=True)
    else:
        for where in rest[1:]:
            try:
                print(connect(rest[0], where)[2], flush=True)
            except ConnectionRefusedError:
                print("refused", flush=True)
            except TimeoutError:
                print("nothing", flush=True)


main()
