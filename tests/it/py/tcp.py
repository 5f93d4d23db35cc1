"""A small TCP server and client for tests in namespaces.

serve ADDRESS@PORT[@OPTION] ...
                              says `ready`, then answers each connection with `PORT LOCAL-ADDRESS`, the port being the one
                              that it listens on, and sends lines back. OPTION: `transparent`, or `dual` for IPv4 too
connect FROM TO@PORT ...      prints what each answers, or `refused`, or `nothing`; FROM `-` is any address, ADDRESS/PORT one port
closed FROM TO@PORT           connects, has the server close first, and prints the answer
reach FROM@TO@PORT ...        the same, all of them at once
hold TO@PORT                  connects, prints the answer; sends each line of its input on the same connection, and prints
                              what comes back, or `broken`
"""

import concurrent.futures
import errno
import socket
import sys
import threading

# For a connect, which the kernel answers: longer than the first repetition of a SYN, so that a busy machine does not look
# like a firewall.
PATIENCE = 2.5
# For an answer of the server, which may have to wait for the processor.
ANSWER_PATIENCE = 60
# What a server is told to close a connection first.
CLOSE = b"close\n"
# Of linux/in.h and linux/in6.h.
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75


def listening(where):
    address, port, *options = where.split("@")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, "dual" not in options)
    if "transparent" in options:
        option = (socket.IPPROTO_IPV6, IPV6_TRANSPARENT) if family == socket.AF_INET6 else (socket.SOL_IP, IP_TRANSPARENT)
        listener.setsockopt(*option, 1)
    listener.bind((address, int(port)))
    listener.listen()
    return listener


def answer(listener):
    port = listener.getsockname()[1]
    while True:
        connection, _ = listener.accept()
        address = connection.getsockname()[0].removeprefix("::ffff:")
        connection.sendall(f"{port} {address}\n".encode())
        threading.Thread(target=send_back, args=(connection,), daemon=True).start()


def send_back(connection):
    try:
        for line in connection.makefile("rb"):
            if line == CLOSE:
                # Shut down, because `makefile` keeps the socket open.
                return connection.shutdown(socket.SHUT_RDWR)
            connection.sendall(line)
    except OSError:
        pass


def connect(source, where):
    address, port = where.rsplit("@", 1)
    source, _, own_port = source.partition("/")
    bound = None if source == "-" else (source, int(own_port or 0))
    connection = socket.create_connection((address, int(port)), PATIENCE, bound)
    connection.settimeout(ANSWER_PATIENCE)
    reader = connection.makefile()
    return connection, reader, reader.readline().strip()


def answer_of(source, where):
    try:
        return connect(source, where)[2]
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "nothing"
    except OSError as error:
        return errno.errorcode[error.errno]


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
    elif verb == "closed":
        connection, reader, said = connect(*rest)
        connection.sendall(CLOSE)
        assert reader.read() == ""
        print(said, flush=True)
    elif verb == "reach":
        with concurrent.futures.ThreadPoolExecutor(len(rest)) as pool:
            for said in pool.map(lambda pair: answer_of(*pair.split("@", 1)), rest):
                print(said, flush=True)
    else:
        for where in rest[1:]:
            print(answer_of(rest[0], where), flush=True)


main()
