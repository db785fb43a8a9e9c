"""The flags of nixlbench 1.4.0, as facts: name, type, default and choices as its `--help` prints them, what they are
for, and what of a scenario says their value.

Facts of the program that hold beside the flags: a block above LARGE_BLOCK_BYTES is measured `large_blk_iter_ftr` times
less often; iteration counts are rounded up to a multiple of `num_threads` x `large_blk_iter_ftr` (its utils.cpp).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

FlagType: TypeAlias = Literal["string", "bool", "int32", "uint32", "uint64"]

#: The version whose flags these are.
VERSION = "1.4.0"
LARGE_BLOCK_BYTES = 1 << 20
HUGE_PAGE_BYTES = 2 << 20
#: The most that `posix_ios_pool_size` comes to, and the least: the plugin clamps it.
POSIX_POOL = range(64, 65536 + 1)
#: The GDS plugin cuts larger blocks into requests of this size.
GDS_REQUEST_BYTES = 16 << 20
#: What nixlbench takes where a network backend runs over etcd and no endpoint is given.
ETCD_ENDPOINT = "http://localhost:2379"

#: Backends that keep data by themselves: one process. Those with True keep it in files below `filepath`.
STORAGE: Mapping[str, bool] = {
    "GDS": True,
    "GDS_MT": True,
    "POSIX": True,
    "HF3FS": True,
    "OBJ": False,
    "GUSLI": False,
    "AZURE_BLOB": False,
    "INFINIA": False,
}
#: Backends between processes.
NETWORK = ("UCX", "LIBFABRIC", "GPUNETIO", "Mooncake", "UCCL")

#: What the pattern or the sweep says of a flag: its setting, for people.
PATTERN: Mapping[str, str] = {
    "op_type": "op",
    "initiator_seg_type": "memory",
    "start_block_size": "block",
    "max_block_size": "block",
    "start_batch_size": "batch",
    "max_batch_size": "batch",
    "num_threads": "threads",
    "pipeline_depth": "depth",
}


@attrs.frozen
class FlagInfo:
    """One flag. `default` is spelled as the program spells it; `of` are the backends that it is for (none: all)."""

    name: str
    type: FlagType
    default: str
    help: str
    choices: tuple[str, ...] = ()
    of: tuple[str, ...] = ()

    @property
    def said_by(self) -> str | None:
        """The setting of the pattern that says its value; None: the tier's setting of its name."""
        return PATTERN.get(self.name)

    def takes(self, value: str) -> bool:
        """Whether the program accepts the value: by its type and its choices. A backend may be a plugin's."""
        if self.type == "bool":
            return value in ("true", "false")
        if self.type == "string":
            return not self.choices or value in self.choices or self.name == "backend"
        bits = int(self.type[-2:])
        limits = range(2**bits) if self.type[0] == "u" else range(-(2 ** (bits - 1)), 2 ** (bits - 1))
        return value.lstrip("-").isdigit() and int(value) in limits


def _flag(
    name: str, type: FlagType, default: str, help: str, choices: str = "", of: tuple[str, ...] = ()
) -> tuple[str, FlagInfo]:
    return name, FlagInfo(name, type, default, help, tuple(choices.split()), of)


_GDS = ("GDS", "GDS_MT")
_POSIX = ("POSIX",)
_OBJ = ("OBJ",)
_GUSLI = ("GUSLI",)

FLAGS: Mapping[str, FlagInfo] = dict(
    [
        _flag(
            "backend",
            "string",
            "UCX",
            "the NIXL plugin that moves the bytes",
            "UCX GDS GDS_MT POSIX GPUNETIO Mooncake HF3FS OBJ GUSLI AZURE_BLOB",
        ),
        _flag("worker_type", "string", "nixl", "what moves the bytes: NIXL or NVSHMEM", "nixl nvshmem"),
        _flag("op_type", "string", "WRITE", "whether the initiator reads or writes", "READ WRITE"),
        _flag("initiator_seg_type", "string", "DRAM", "memory of the local buffers, of storage too", "DRAM VRAM"),
        _flag("target_seg_type", "string", "DRAM", "memory of the peer's buffers", "DRAM VRAM"),
        _flag("scheme", "string", "pairwise", "who sends to whom", "pairwise manytoone onetomany tp"),
        _flag("mode", "string", "SG", "one device (SG) or all devices (MG) in a process", "SG MG"),
        _flag("num_initiator_dev", "int32", "1", "initiators: processes with mode = SG, devices with MG"),
        _flag("num_target_dev", "int32", "1", "targets: processes with mode = SG, devices with MG"),
        _flag("device_list", "string", "all", "devices to use; GUSLI: id:type:path"),
        _flag("start_block_size", "uint64", "4096", "the smallest block; it doubles from row to row"),
        _flag("max_block_size", "uint64", "67108864", "the largest block"),
        _flag("start_batch_size", "uint64", "1", "the smallest batch; it doubles from row to row"),
        _flag("max_batch_size", "uint64", "1", "the largest batch"),
        _flag("total_buffer_size", "uint64", "8589934592", "bytes of buffers in a process, and of its data"),
        _flag("num_iter", "int32", "1000", "batches that are measured in a row of the table, of all threads together"),
        _flag("warmup_iter", "int32", "100", "batches before them"),
        _flag("large_blk_iter_ftr", "int32", "16", "blocks above 1 MiB are measured so many times less often"),
        _flag("num_threads", "int32", "1", "threads in a process, each with a batch of its own"),
        _flag("pipeline_depth", "int32", "1", "batches in flight in a thread"),
        _flag("recreate_xfer", "bool", "false", "make a new transfer request for each batch"),
        _flag("reregister_mem", "bool", "false", "register the memory anew for each batch"),
        _flag("prepared_xfer", "bool", "false", "make requests from prepared descriptor lists"),
        _flag("enable_pt", "bool", "false", "use NIXL's progress thread"),
        _flag("progress_threads", "uint64", "0", "progress threads of the backend"),
        _flag("enable_vmm", "bool", "false", "allocate with CUDA's virtual memory management"),
        _flag("use_hugepages", "bool", "false", "buffers in reserved huge pages of 2 MiB"),
        _flag("check_consistency", "bool", "false", "compare the content after each row"),
        _flag("config_file", "string", "", "a TOML file with further flags; what is said here counts before it"),
        _flag("runtime_type", "string", "ETCD", "how the processes find each other", "ETCD ASIO"),
        _flag("benchmark_group", "string", "default", "the name under which processes meet in etcd"),
        _flag("etcd_endpoints", "string", "", "where etcd is"),
        _flag("asio_address", "string", "127.0.0.1", "where the first process listens (ASIO)"),
        _flag("asio_port", "uint32", "12345", "the port on which the first process listens (ASIO)"),
        _flag("filepath", "string", "", "folder below which each run gets a folder of its own"),
        _flag("filenames", "string", "", "names of its files, with commas between"),
        _flag("num_files", "int32", "1", "files that the buffers are spread over"),
        _flag("storage_enable_direct", "bool", "false", "bypass the page cache (O_DIRECT)"),
        _flag("posix_api_type", "string", "AIO", "how POSIX keeps I/O in flight", "AIO URING POSIXAIO", _POSIX),
        _flag("posix_ios_pool_size", "int32", "65536", "most operations in flight, of all threads", of=_POSIX),
        _flag("posix_kernel_queue_size", "int32", "256", "entries of the kernel's queue", of=_POSIX),
        _flag("gds_batch_pool_size", "int32", "32", "cuFile batches in flight, of all threads", of=_GDS),
        _flag("gds_batch_limit", "int32", "128", "requests of a cuFile batch", of=_GDS),
        _flag("gds_mt_num_threads", "int32", "1", "threads of the GDS_MT plugin", of=("GDS_MT",)),
        _flag("gpunetio_device_list", "string", "0", "CUDA devices of GPUNETIO", of=("GPUNETIO",)),
        _flag("gpunetio_oob_list", "string", "", "interfaces of its control path", of=("GPUNETIO",)),
        _flag("hf3fs_iopool_size", "int32", "64", "I/O requests that HF3FS keeps made", of=("HF3FS",)),
        _flag("obj_access_key", "string", "", "S3 access key; it is kept with the results in the clear", of=_OBJ),
        _flag("obj_secret_key", "string", "", "S3 secret key; put it into `config_file`: here it is kept", of=_OBJ),
        _flag("obj_session_token", "string", "", "S3 token; put it into `config_file`: here it is kept", of=_OBJ),
        _flag("obj_bucket_name", "string", "", "S3 bucket", of=_OBJ),
        _flag("obj_scheme", "string", "http", "how S3 is spoken to", "http https", _OBJ),
        _flag("obj_region", "string", "eu-central-1", "S3 region", of=_OBJ),
        _flag("obj_use_virtual_addressing", "bool", "false", "the bucket in the host's name", of=_OBJ),
        _flag("obj_endpoint_override", "string", "", "another S3 endpoint", of=_OBJ),
        _flag("obj_req_checksum", "string", "supported", "when requests have checksums", "supported required", _OBJ),
        _flag("obj_ca_bundle", "string", "", "certificates that are trusted", of=_OBJ),
        _flag("obj_crt_min_limit", "uint64", "0", "least size for the S3 CRT client; 0: never", of=_OBJ),
        _flag("obj_accelerated_enable", "bool", "false", "use an accelerated S3 client", of=_OBJ),
        _flag("obj_accelerated_type", "string", "", "which accelerated S3 client", of=_OBJ),
        _flag("azure_blob_account_url", "string", "", "URL of the storage account", of=("AZURE_BLOB",)),
        _flag("azure_blob_container_name", "string", "", "container", of=("AZURE_BLOB",)),
        _flag(
            "azure_blob_connection_string",
            "string",
            "",
            "connection string; put it into `config_file`: here it is kept",
            of=("AZURE_BLOB",),
        ),
        _flag("infinia_config_file", "string", "", "configuration of INFINIA", of=("INFINIA",)),
        _flag("gusli_client_name", "string", "NIXLBench", "name of the client", of=_GUSLI),
        _flag("gusli_max_simultaneous_requests", "int32", "32", "requests in flight", of=_GUSLI),
        _flag("gusli_config_file", "string", "", "content of its configuration; else from device_list", of=_GUSLI),
        _flag("gusli_device_byte_offsets", "string", "", "where on each device to begin", of=_GUSLI),
        _flag("gusli_device_security", "string", "", "security flags of each device", of=_GUSLI),
    ]
)
