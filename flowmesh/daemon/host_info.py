"""A worker's registration: its host, versions and options."""

from __future__ import annotations

import os
import platform
import secrets
import sys

from .. import __version__
from ..wire.messages import Registration
from ..wire.plan_specs import Host, Versions
from .options import WorkerOptions

_LIFE = secrets.token_hex(
    8
)  # of this process: by it the Manager tells a daemon that came back from one that was replaced


def registration(name: str, address: str, terms: WorkerOptions) -> Registration:
    """The registration of the worker of that name, which takes channel ends from other workers of its host at that
    address."""
    host = Host(
        boot=_boot_id(),
        network=os.stat("/proc/self/ns/net").st_ino,
        user=os.getuid(),
        address=address,
        machine=platform.machine(),
    )
    versions = Versions(__version__, f"{sys.version_info.major}.{sys.version_info.minor}")
    return Registration(name, os.getpid(), host, versions, terms.id, terms.pickle, terms.capacity, _LIFE)


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
