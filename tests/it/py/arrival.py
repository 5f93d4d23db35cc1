"""Requests that expect no reply, which may arrive long after they were sent."""

import time

# On a busy machine, thousands of them wait in the buffers of sockets.
QUIET_SECONDS = 10


def lost(sent, absent):
    """Those of `sent` that have not arrived when none has arrived for ten seconds; `absent` returns the missing ones of some."""
    missing, until = list(sent), None
    while missing:
        still = absent(missing)
        if until is None or len(still) < len(missing):
            until = time.monotonic() + QUIET_SECONDS
        elif time.monotonic() > until:
            break
        missing = still
        time.sleep(0.1)
    return missing
