"""What tests of the driver `redis` share."""

import pytest

from kvscen.plugin import Tier, Work
from kvscen_drivers.redis.driver import RedisDriver
from kvscen_drivers.redis.settings import RedisSettings

_here = RedisDriver().probe(None)

#: For tests that need a server of their own.
needs_server = pytest.mark.skipif(not _here.ok, reason=f"{_here.reason}: {_here.remedy}")


def tier(**settings):
    return Tier("kv", "redis", RedisSettings(**settings).complete())


def work(block_bytes=4096, keys=8, **more):
    return Work(**{"op": "mixed", "block_bytes": block_bytes, "batch": 4, "keys": keys, "depth": 4} | more)
