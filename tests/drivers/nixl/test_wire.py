"""Which way bytes went, by the counters of a machine made of files."""

import pytest

from kvscen_drivers.nixl.wire import path_of, sent_bytes


def _machine(root, **counters):
    for name, value in counters.items():
        if name.startswith("mlx"):
            file = root / f"sys/class/infiniband/{name}/ports/1/counters/port_xmit_data"
        else:
            file = root / f"sys/class/net/{name}/statistics/tx_bytes"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")


def test_counters_of_networks_and_adapters(tmp_path):
    assert sent_bytes(tmp_path) == {}
    _machine(tmp_path, lo=5, eth0=7, mlx5_0=100)
    assert sent_bytes(tmp_path) == {"lo": 5, "eth0": 7, "mlx5_0/1": 400}


@pytest.mark.parametrize(
    ("after", "kind", "said"),
    [
        ({"lo": 1_050_000, "mlx5_0/1": 3}, "tcp", "lo sent all"),
        ({"lo": 900, "mlx5_0/1": 1_000_000}, "rdma", "mlx5_0/1 sent all"),
        ({"lo": 900, "mlx5_0/1": 3}, "shm", "no network interface sent any"),
        ({"lo": 500_000, "mlx5_0/1": 3}, "mixed", "lo sent 500000"),
        ({}, "unknown", "no counters"),
    ],
)
def test_the_way(after, kind, said):
    path = path_of("NIXL", 1_000_000, {"lo": 0, "mlx5_0/1": 0}, after)
    assert path.kind == kind and said in path.evidence and path.evidence.startswith("NIXL; ")
