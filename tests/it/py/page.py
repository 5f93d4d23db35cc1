"""page.py PAGE...: runs the commands of pages of the book, in order, in the current folder, and compares what they print.

One shell runs the `console` blocks, on a terminal of 80 columns: `$ ` begins a command, which goes on while lines end with
`\\`; the lines after it are its output, if any are shown. `...` stands for any text, or, as a line, for any lines. In
`console,sample` blocks numbers may differ, and so may the spaces around them. Blocks with `file=NAME` are written to files;
`norun` blocks and other languages are skipped. PAGE#HEADING is a page up to that heading. Exits with 1 at the first command
that fails or prints something else. With TLSRAMP_BLESS=1, output that differs is written into the page, in full: read the
difference. With PAGE_SHOWS=1, commands and output are printed."""

import fcntl
import glob
import os
import pty
import re
import select
import shlex
import signal
import struct
import sys
import termios
import time

COMMAND_SECONDS = 600
MARK = re.compile("\x02([0-9]+)\x02\n")


class Command:
    def __init__(self, page, line, text, sample):
        self.page, self.line, self.text, self.sample, self.shown = page, line, text, sample, []

    def bless(self, lines):
        """Notes that the page is to show these lines. Written by `write_blessed`, from the end."""
        first = self.line + self.text.count("\n")
        BLESSED.setdefault(self.page, []).append((first, first + len(self.shown), lines))


BLESSED = {}


def write_blessed():
    for page, changes in BLESSED.items():
        with open(page) as file:
            text = file.read().split("\n")
        for first, last, lines in reversed(changes):
            text[first:last] = lines
        with open(page, "w") as file:
            file.write("\n".join(text))


def blocks(page):
    """The fenced blocks, also indented ones: words after the fence, number of the first line, lines."""
    words = None
    for number, line in enumerate(page.splitlines(), 1):
        fence = re.match(r"( *)```(.*)$", line)
        if fence and words is None:
            indent, words, first, lines = len(fence[1]), re.split("[, ]", fence[2]), number + 1, []
        elif fence:
            yield words, first, lines
            words = None
        elif words is not None:
            lines.append(line[indent:])
    if words is not None:
        sys.exit("a block has no end")


def steps(name):
    """Files, as pairs of name and text, and commands, in order."""
    name, _, heading = name.partition("#")
    with open(name) as file:
        page = file.read()
    if heading:
        page, _, rest = page.partition(f"\n## {heading}\n")
        if not rest:
            sys.exit(f"{name}: no heading '{heading}'")
    for words, first, lines in blocks(page):
        names = [word[5:] for word in words if word.startswith("file=")]
        if names:
            yield names[0], "".join(line + "\n" for line in lines)
        elif words[0] == "console" and "norun" not in words:
            yield from commands(lines, name, first, "sample" in words)


def commands(lines, name, first, sample):
    command = None
    for number, line in enumerate(lines, first):
        if command and not command.shown and command.text.endswith("\\"):
            command.text += "\n" + line
        elif line.startswith("$ "):
            if command:
                yield command
            command = Command(name, number, line[2:], sample)
        elif command:
            command.shown.append(line)
        else:
            sys.exit(f"{name}:{number}: a console block begins with a command")
    if command:
        yield command


def script(all_steps):
    yield "set -euo pipefail\nexec < /dev/null\n"
    for number, step in enumerate(all_steps):
        if isinstance(step, Command):
            yield f"printf '\\002{number}\\002\\n'\n{step.text}\n"
        else:
            yield f"cat > {shlex.quote(step[0])} <<'END_OF_FILE'\n{step[1]}END_OF_FILE\n"
    yield f"printf '\\002{len(all_steps)}\\002\\n'\n"


def run(text):
    """Yields the number of a command when it begins and when all have ended, and what was printed before."""
    with open(f"/proc/self/fd/{os.memfd_create('page')}", "w") as file:
        file.write("".join(text))
        file.flush()
        shell = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        pid, terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            os.environ.update(TERM="dumb", NO_COLOR="1", LC_ALL="C.UTF-8")
            os.execvp("bash", ["bash", shell])
        yield from follow(pid, terminal)


def follow(pid, terminal):
    printed, until = "", time.monotonic() + COMMAND_SECONDS
    data = b""
    while True:
        readable, _, _ = select.select([terminal], [], [], max(0, until - time.monotonic()))
        if not readable:
            os.kill(pid, signal.SIGKILL)
            yield None, printed + f"\n(no end after {COMMAND_SECONDS} s)"
            return
        try:
            read = os.read(terminal, 65536)
        except OSError:
            read = b""
        if not read:
            yield None, printed
            return
        data += read
        printed = data.decode(errors="replace").replace("\r", "")
        while mark := MARK.search(printed):
            yield int(mark[1]), printed[: mark.start()]
            printed = printed[mark.end() :]
            data = printed.encode()
            until = time.monotonic() + COMMAND_SECONDS


def matches(shown, printed, sample):
    """Whether the lines that a page shows are those that were printed."""

    def plain(line):
        line = line.rstrip()
        if sample:
            # 59s and 1m are two forms of one value.
            line = re.sub(r"\b\d+[smhd]\b", "0s", line)
            line = re.sub(r"\s+", " ", re.sub(r"\d+(,\d+)*(\.\d+)?", "0", line))
        return line

    def pattern(line):
        if line.strip() == "...":
            return r"(?:[^\n]*\n)*"
        return r"[^\n]*".join(re.escape(part) for part in plain(line).split("...")) + r"\n"

    return re.fullmatch("".join(map(pattern, shown)), "".join(plain(line) + "\n" for line in printed)) is not None


def main():
    all_steps = [step for page in sys.argv[1:] for step in steps(page)]
    last = None
    began = time.monotonic()
    for number, printed in run(list(script(all_steps))):
        if last is not None:
            command = all_steps[last]
            lines = printed.strip("\n").splitlines()
            if os.environ.get("PAGE_SHOWS"):
                print(f"[{time.monotonic() - began:5.1f}] $ {command.text}", *lines, sep="\n")
            wrong = None
            if number is None:
                wrong = "the command failed"
            elif command.shown and not matches(command.shown, lines, command.sample):
                wrong = "the command printed something else than the page shows"
                if os.environ.get("TLSRAMP_BLESS") == "1":
                    wrong = command.bless(lines)
            if wrong:
                print(f"{command.page}:{command.line}: {wrong}:", f"$ {command.text}", *lines[-40:], sep="\n")
                for log in sorted(glob.glob("*.log")):
                    print(f"--- {log}", *open(log, errors="replace").read().splitlines()[-6:], sep="\n")
                sys.exit(1)
        last = number
        if number == len(all_steps):
            return write_blessed()
    sys.exit("the shell ended before the first command")


main()
