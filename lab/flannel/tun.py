"""TUN devices: a network interface whose other end is a file descriptor of this process; see the kernel's networking/tuntap.rst."""

from __future__ import annotations

import fcntl
import os
import struct

from lab.errors import MachineError

IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
"""Each packet has a header before it, lab.flannel.vnet, that tells what the reader has to finish."""

OFFLOAD_CSUM = 0x01
OFFLOAD_TSO4 = 0x02
"""What the reader can finish: checksums; TCP packets of up to 64 KiB over IPv4. Needs IFF_VNET_HDR."""

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_DEVICE = "/dev/net/tun"


def open_tun(pattern: str, flags: int = IFF_TUN | IFF_NO_PI, offload: int = 0) -> tuple[int, str]:
    """Create a TUN device in the network namespace of the calling thread.

    pattern   its name; the kernel puts the first free number in place of %d
    flags     as TUNSETIFF takes them; by default each read and write is one bare IP packet
    offload   as TUNSETOFFLOAD takes it: work that the kernel leaves to the reader
    Returns the non-blocking descriptor and the device's name. Closing the descriptor removes the device.
    Raises MachineError when the machine refuses, OSError when it only refuses `offload`.
    """
    try:
        fd = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if isinstance(error, PermissionError):
            hint = "run as root, or open it to all users as most distributions do (chmod 0666)"
        else:
            hint = "load the kernel module (modprobe tun) or give this container the device (--device /dev/net/tun)"
        raise MachineError(f"cannot open {_DEVICE}: {error.strerror}; {hint}") from error
    try:
        answer = fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", pattern.encode("ascii"), flags))
    except OSError as error:
        os.close(fd)
        raise MachineError(
            f"cannot create the TUN device {pattern}: {error.strerror}; CAP_NET_ADMIN is needed, run as root"
        ) from error
    if offload:
        try:
            fcntl.ioctl(fd, _TUNSETOFFLOAD, offload)
        except OSError:
            os.close(fd)
            raise
    return fd, answer[:16].rstrip(b"\0").decode("ascii")
