"""Large blocks that an agent frees go back to the system, whatever was freed before them."""

import platform
import subprocess
import sys

import pytest

BLOCKS = """
import ctypes
from smtpcheck.agent import allocator

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Mallinfo
if {kept}:
    allocator.give_back_large_blocks()
page = bytes(20_000_000)
del page
before = mallinfo().hblks
page = bytes(1_000_000)
print(mallinfo().hblks - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="concerns glibc alone")
@pytest.mark.parametrize("kept", [False, True])
def test_a_large_block_is_one_of_its_own_that_the_system_gave_and_takes_back(kept: bool) -> None:
    """By itself glibc takes it from its heap after the first that was freed (mallopt(3))."""
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKS.replace("{kept}", str(kept))], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) == kept
