"""What tests of the driver `mooncake` share."""

import functools

import pytest

from kvscen.plugin.probe import examine


@functools.cache
def _here():
    return examine("mooncake").available


#: In a child: Mooncake starts threads where it is imported.
needs_mooncake = pytest.mark.skipif(not _here().ok, reason=f"{_here().reason}: {_here().remedy}")
