"""terminal.py ANSWER COMMAND...: runs a command on a terminal of 80 columns and 24 lines without echo, types the answer when
the question is there, and prints the output. Exits with the command's exit code, or 128 and the number of its signal."""

import fcntl
import os
import pty
import signal
import struct
import sys
import termios

answer, command = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    settings = termios.tcgetattr(0)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSANOW, settings)
    # A job in the background of a shell ignores it, and so would the command.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp(command[0], command)
output, typed = b"", False
while True:
    try:
        read = os.read(terminal, 65536)
    except OSError:
        break
    if not read:
        break
    output += read
    if not typed and output.endswith(b"[y/N] "):
        os.write(terminal, answer.encode())
        typed = True
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.buffer.write(output)
sys.stdout.flush()
sys.exit(code if code >= 0 else 128 - code)
