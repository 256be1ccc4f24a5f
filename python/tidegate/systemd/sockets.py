"""sd_listen_fds(3): listening sockets that the service manager opened and passed on, from descriptor 3.

Which listener a socket is for is said by its name (`FileDescriptorName=http`, `tcp`, `unix` or `admin`). A socket with
any other name is for the listener that is configured at its address. `adopt` writes what was passed into the
configuration of the listeners, so that all that follows (checks of public addresses, of `Host`, announcements) sees the
addresses that are really served.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import Final

from tidegate.config.address import format_host_port, is_loopback, parse_host_port
from tidegate.config.snapshot import Listen
from tidegate.errors import ConfigError

FIRST_DESCRIPTOR: Final = 3
_MOST: Final = 256
ROLES: Final = ("http", "tcp", "unix", "admin")
_VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


@dataclass(frozen=True, slots=True)
class Passed:
    """One socket from the manager."""

    name: str
    socket: socket.socket
    address: str
    """`host:port`, or a path."""

    @property
    def is_unix(self) -> bool:
        return self.socket.family == socket.AF_UNIX


def take_passed(environ: MutableMapping[str, str], first: int = FIRST_DESCRIPTOR) -> list[Passed]:
    """The sockets meant for this process. The variables are gone afterwards, and no child inherits a descriptor.

    Raises: ConfigError, when something else than listening stream sockets was passed.
    """
    count, pid = environ.get("LISTEN_FDS", ""), environ.get("LISTEN_PID")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    for variable in _VARIABLES:
        environ.pop(variable, None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    if int(count) > _MOST:
        raise ConfigError(f"the service manager passed {count} sockets; at most {_MOST} are taken")
    descriptors = range(first, first + int(count))
    for descriptor in descriptors:
        try:
            os.set_inheritable(descriptor, False)
        except OSError as error:
            raise ConfigError(f"descriptor {descriptor} of `LISTEN_FDS` cannot be used: {error.strerror}") from error
    names += [""] * (len(descriptors) - len(names))
    return [_passed(descriptor, name) for descriptor, name in zip(descriptors, names, strict=False)]


def _passed(descriptor: int, name: str) -> Passed:
    try:
        found = socket.socket(fileno=descriptor)
        listening = found.type == socket.SOCK_STREAM and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        address = found.getsockname()
    except OSError as error:
        raise ConfigError(f"descriptor {descriptor} from the service manager is no socket: {error.strerror}") from error
    if not listening or found.family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
        raise ConfigError(
            f"descriptor {descriptor} (`{name}`) from the service manager is no listening stream socket; "
            "the socket unit needs `ListenStream=` and `Accept=no`"
        )
    if found.family != socket.AF_UNIX:
        text = format_host_port(address[0], address[1])
    else:
        text = "@" + address[1:].decode("utf-8", "replace") if isinstance(address, bytes) else address
    return Passed(name, found, text)


class Inherited:
    """The passed sockets, each given to its listener once."""

    def __init__(self, passed: list[Passed]) -> None:
        self._passed = passed
        self._roles: list[tuple[str, Passed]] = []

    def adopt(self, listen: Listen) -> Listen:
        """`listen` with the passed sockets in it.

        A listener that is given sockets by name has those, and binds nothing of its own; a socket that was found by
        its address takes the place of just that one. Raises: ConfigError, for a socket that is nobody's.
        Asked again for each configuration: the sockets stay the same.
        """
        self._roles = []
        named = {passed.name for passed in self._passed if passed.name in ROLES}
        for passed in self._passed:
            role = passed.name if passed.name in ROLES else _role_at(listen, passed)
            if (role == "unix") is not passed.is_unix:
                wanted = "a path" if role == "unix" else "`host:port`"
                raise ConfigError(f"the socket `{passed.address}` is named `{role}`, which must be at {wanted}")
            self._roles.append((role, passed))
        given = {role: tuple(found.address for name, found in self._roles if name == role) for role in ROLES}
        for role in ("unix", "admin"):
            if len(given[role]) > 1:
                raise ConfigError(f"there is one `{role}` listener, but the service manager passed {len(given[role])}")
        several = {
            role: given[role]
            if role in named
            else given[role]
            + tuple(text for text in configured if not any(_same(text, other) for other in given[role]))
            for role, configured in (("http", listen.http), ("tcp", listen.tcp))
        }
        return replace(
            listen,
            http=several["http"],
            tcp=several["tcp"],
            unix=given["unix"][0] if given["unix"] else listen.unix,
            admin=given["admin"][0] if given["admin"] else listen.admin,
        )

    def take(self, role: str, address: str) -> socket.socket | None:
        """The socket for a listener of the adopted configuration; None: it has to bind one."""
        for index, (name, passed) in enumerate(self._roles):
            if name == role and passed.address == address:
                del self._roles[index]
                # The original stays open: a later configuration may want it again.
                return passed.socket.dup()
        return None


def _role_at(listen: Listen, passed: Passed) -> str:
    if passed.is_unix:
        if listen.unix == passed.address:
            return "unix"
    else:
        for role, configured in (("http", listen.http), ("tcp", listen.tcp), ("admin", (listen.admin,))):
            if any(text and _same(text, passed.address) for text in configured):
                return role
    raise ConfigError(
        f"the service manager passed the socket `{passed.address}` (`{passed.name}`), and no listener is configured "
        f"there; say whose it is by `FileDescriptorName=`, one of {', '.join(f'`{role}`' for role in ROLES)}"
    )


def _same(configured: str, bound: str) -> bool:
    """Whether a configured `host:port` is the one that is bound. `localhost` is any loopback address."""
    try:
        host, port = parse_host_port(configured)
    except ValueError:
        return False
    bound_host, bound_port = parse_host_port(bound)
    if port != bound_port:
        return False
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(bound_host)
    except ValueError:
        return is_loopback(host) and is_loopback(bound_host)
