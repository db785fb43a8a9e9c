"""What the tests of the driver `nixl` share."""

import pytest

from kvscen_drivers.nixl import wheel

#: For tests that move bytes with NIXL itself.
needs_nixl = pytest.mark.skipif(wheel.package() is None, reason=f"{wheel.MISSING}: {wheel.INSTALL}")
