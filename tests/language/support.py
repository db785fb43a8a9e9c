"""Texts that several tests use."""

EXAMPLE = """\
kvs 1                                   # the language's version, always first

use models                              # the shipped catalogue

let dir = "./kv-data"

# 80 layers x 8 KV heads x 128 x (K and V) x 1 byte = 160 KiB a token, so a page of 16 tokens is one block of 2.5 MiB
model llama70b : llama3_1_70b { kv_dtype = fp8 }

tier disk       : posix  { path = dir; direct = true }
tier gpu_direct : gds    { path = dir }
tier dram       : memory { capacity = 4 GiB }
tier cache      : tiered { levels = [dram, disk]; eviction = lru }

pattern reads : pages { op = read }
pattern pages : transfer {
  model    = llama70b
  access   = block                      # one object holds all layers of a page
  page     = 16 tokens
  prompt   = 1000 tokens
  requests = 1
}

sweep blocks {
  pattern        = pages
  tier           in [disk, gpu_direct]
  pages.op       in [write, read]
  (pages.requests, pages.depth) in [
    (1, 4),
    (10, 8),
  ]
  skip when tier == gpu_direct and pages.requests == 10

  trials = 5
  warmup = 0.5 s
  time   = 1.5 s

  expect throughput >= 200 MiB/s when pages.op == read
  expect errors == 0
  find highest pages.requests where latency_p99 <= 5 ms and errors == 0
}
"""
