"""`python -m kvscen_drivers.mooncake.node MASTER METADATA PROTOCOL DEVICES BYTES`: a process whose memory is a part of
a store. It says "ready" and waits to be killed."""

from __future__ import annotations

import signal
import sys

from kvscen_drivers.mooncake import wheel


def main(master: str, metadata: str, protocol: str, devices: str, nbytes: int) -> None:
    store = wheel.api().MooncakeDistributedStore()
    code = store.setup("127.0.0.1", metadata, nbytes, 0, protocol, devices, master)
    if code:
        sys.exit(f"Mooncake's setup ended with {wheel.spelled(code)}")
    print("ready", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
