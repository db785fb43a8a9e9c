"""`python -m kvscen_drivers.nixl.trial create BACKEND PARAMETERS` creates a backend and says how it went;
`... trial plugins` says which plugins can be loaded. One JSON object on stdout. Run with a time limit: a plugin may
hang, crash or print.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from kvscen_drivers.nixl import wheel


def created(backend: str, parameters: dict[str, str]) -> dict[str, Any]:
    """Whether the backend comes up, why not, and the kinds of memory that it has."""
    api = wheel.api()
    agent = api.nixl_agent("kvscen-trial", api.nixl_agent_config(enable_prog_thread=False, backends=[]))
    if backend not in agent.get_plugin_list():
        return _refused(f"this version of NIXL has no plugin {backend}; it has {', '.join(agent.get_plugin_list())}")
    try:
        agent.create_backend(backend, parameters)
    except Exception as error:  # the bindings have error classes of their own, with no base that says more
        reason = wheel.loadable(backend)
        return _refused(f"NIXL cannot create {backend}: {reason or error}")
    memory = [kind.removesuffix("_SEG") for kind in agent.get_backend_mem_types(backend)]
    return {"ok": True, "reason": "", "memory": memory}


def _refused(reason: str) -> dict[str, Any]:
    return {"ok": False, "reason": reason, "memory": []}


def listed() -> dict[str, str]:
    """Every plugin by name: why it cannot be loaded, or ""."""
    api = wheel.api()
    agent = api.nixl_agent("kvscen-trial", api.nixl_agent_config(enable_prog_thread=False, backends=[]))
    return {name: wheel.loadable(name) for name in agent.get_plugin_list()}


if __name__ == "__main__":
    # What NIXL and its libraries print must not get between us and who asked.
    answers = os.dup(1)
    os.dup2(2, 1)
    answer = listed() if sys.argv[1] == "plugins" else created(sys.argv[2], json.loads(sys.argv[3]))
    os.write(answers, json.dumps(answer).encode() + b"\n")
    os._exit(0)
