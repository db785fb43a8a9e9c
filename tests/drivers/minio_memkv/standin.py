"""A stand-in for `memkv_lmcache._native`: MinIO's own needs a licence before it does anything.

It has the methods of version 1.0.12 with their arguments and what their documentation says of them, over a dictionary.
Nothing that runs with it is a result.
"""

import ctypes
import os
from typing import ClassVar


class Client:
    """`blocks` is what all clients of this process share."""

    blocks: ClassVar[dict] = {}
    calls: ClassVar[list] = []
    fault = ""

    def __init__(self):
        if not os.environ.get("MEMKV_LICENSE"):
            raise RuntimeError("no license found: set MEMKV_CONFIG with `license:`, MEMKV_LICENSE, or MINIO_LICENSE")
        self.told = {name: value for name, value in os.environ.items() if name.startswith("MEMKV_")}

    def servers(self):
        return self.told.get("MEMKV_SERVERS", "127.0.0.1:9900").split(",")

    def has_rdma(self):
        return False

    def warmup(self):
        if self.fault == "unreachable":
            raise RuntimeError("connect 127.0.0.1:9900: Connection refused (os error 111)")

    def put(self, key, data):
        self.blocks[key] = bytes(data)

    def get(self, key):
        return self.blocks.get(key)

    def get_into(self, key, dst_addr, dst_size):
        raise RuntimeError("RDMA is not available on this client")

    def size(self, key):
        value = self.blocks.get(key)
        return None if value is None else len(value)

    def delete(self, key):
        return self.blocks.pop(key, None) is not None

    def exists(self, keys):
        return [key in self.blocks for key in keys]

    def exists_on(self, server, keys):
        return self.exists(keys)

    def batch_put(self, items):
        return [self.put(key, data) is None for key, data in items]

    def batch_put_views(self, items):
        self._begin("put", items)
        if self.fault == "full":
            return [False] * len(items)
        for key, address, size in items:
            self.blocks[key] = ctypes.string_at(address, size)
        return [True] * len(items)

    def batch_get(self, keys):
        return [self.blocks.get(key) for key in keys]

    def batch_get_into(self, items):
        self._begin("get", items)
        return [self._copy(*item) for item in items]

    def _begin(self, what, items):
        self.calls.append((what, len(items)))
        if self.fault == "raise":
            raise RuntimeError("all connections to 127.0.0.1:9900 are gone")

    def _copy(self, key, address, size):
        value = self.blocks.get(key)
        if value is None or len(value) != size:
            return False
        ctypes.memmove(address, value, size)
        return True
