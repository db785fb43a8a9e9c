"""`kvscen serve memkv`."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from kvscen.plugin import DriverError, SecretFile, available_bytes, parse_size, read_secret, show_bytes
from kvscen_drivers.memkv.patience import SPIN_NS
from kvscen_drivers.memkv.settings import split_endpoint

_PORT = 7707


@click.command("memkv")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default=f"127.0.0.1:{_PORT}",
    show_default=True,
    help="Where to listen (port 0: any that is free); beyond this machine only with --secret.",
)
@click.option(
    "--capacity", metavar="SIZE", help='Most bytes of values, such as "8 GiB".  [default: half of what is free]'
)
@click.option("--files", type=click.Path(path_type=Path), metavar="DIR", help="Keep values there, with direct I/O.")
@click.option("--evict", is_flag=True, help="When full, drop what was used longest ago instead of refusing.")
@click.option("--secret", type=click.Path(path_type=Path), metavar="FILE", help="What clients have to know.")
@click.option("--value-limit", metavar="SIZE", default="4 GiB", show_default=True, help="Most bytes of one value.")
@click.option("--connections", type=click.IntRange(1), default=4096, show_default=True, help="Most clients at once.")
@click.option("--congestion", metavar="NAME", help="TCP's congestion control.  [default: the machine's]")
@click.option("--shm", is_flag=True, help="Let clients on this machine (`transport = shm`) map the memory of values.")
@click.option(
    "--rdma",
    metavar="DEVICES",
    help="Let clients (`transport = rdma`) reach the memory of values through these RDMA devices, such as "
    "mlx5_0,mlx5_1; all: any that has a link. All of --capacity is pinned.",
)
@click.option(
    "--gid-index", type=click.IntRange(0, 255), help="With --rdma: which GID of their ports, as RoCE needs it."
)
@click.option(
    "--spin",
    metavar="US",
    type=click.IntRange(0, 1_000_000),
    default=SPIN_NS // 1000,
    show_default=True,
    help="How many microseconds to look for more before it sleeps, where more came about as soon before; 0: none.",
)
def command(
    listen: str,
    capacity: str | None,
    files: Path | None,
    evict: bool,
    secret: Path | None,
    value_limit: str,
    connections: int,
    congestion: str | None,
    shm: bool,
    rdma: str | None,
    gid_index: int | None,
    spin: int,
) -> None:
    """Keep blocks for tiers of the driver `memkv` on other machines.

    One process and one thread: for more than one CPU can do, start several and name all of them in `endpoints`.
    """
    from kvscen_drivers.memkv.server import Server, ServerSettings, more_files

    place = split_endpoint(listen, least_port=0)
    if place is None:
        raise click.UsageError(f'"{listen}" is no host with a port: write "10.0.0.5:{_PORT}"')
    try:
        most = (available_bytes() or 2 << 30) // 2 if capacity is None else parse_size(capacity)
        limit = parse_size(value_limit)
        settings = ServerSettings(
            host=place[0],
            port=place[1],
            capacity_bytes=most,
            value_limit_bytes=limit,
            connections=connections,
            evict=evict,
            folder=None if files is None else str(files),
            spin_ns=spin * 1000,
            congestion=congestion,
            shm=shm,
            devices=None if rdma is None else () if rdma == "all" else tuple(rdma.split(",")),
            gid_index=gid_index,
            secret=None if secret is None else read_secret(SecretFile(str(secret), str(secret))).encode(),
        )
        more_files()
        server = Server(settings)
    except DriverError as error:
        click.echo(f"error: {error}", err=True)
        if error.remedy:
            click.echo(f"help: {error.remedy}", err=True)
        raise SystemExit(2) from error
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    shown = f"{place[0]}:{server.port}"
    where = "memory" if files is None else str(files)
    full = "drops the oldest" if evict else "refuses"
    guarded = "asks for the secret" if secret is not None else "asks for no secret"
    click.echo(f"memkv listens on {shown}: {show_bytes(most)} in {where}, {full} when full, {guarded}; Ctrl-C ends it")
    server.run()
