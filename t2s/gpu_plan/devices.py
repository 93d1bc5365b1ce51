"""GPUs by name: memory, bandwidth and arithmetic.

Figures are those of NVIDIA's data sheets (A10, L4, A100 80GB SXM, H100 SXM, H200 SXM), arithmetic without sparsity; a
data sheet that gives it with sparsity alone is halved.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Device(NamedTuple):
    """One kind of GPU.

    Attributes:
        name: As people say it.
        memory_gib: What CUDA reports as total: less than the data sheet's GB, by ECC and what the driver keeps.
        bandwidth: Bytes/s of its memory.
        bf16_flops: Dense FLOP/s of the tensor cores, in bf16 or fp16.
        fp8_flops: The same in fp8; None where it has no such units (fp8 weights then run through bf16 units).
        sm: Compute capability times ten.
    """

    name: str
    memory_gib: float
    bandwidth: float
    bf16_flops: float
    fp8_flops: float | None
    sm: int


DEVICES = {
    device.name: device
    for device in (
        # NVIDIA A10 data sheet: 24 GB GDDR6, 600 GB/s, bf16 125 TFLOPS (250 with sparsity).
        Device("A10", 22.1, 600e9, 125e12, None, 86),
        # NVIDIA L4 data sheet: 24 GB GDDR6, 300 GB/s, bf16 242 and fp8 485 TFLOPS with sparsity.
        Device("L4", 22.1, 300e9, 121e12, 242e12, 89),
        # NVIDIA A100 data sheet, 80GB SXM: 2,039 GB/s, bf16 312 TFLOPS.
        Device("A100", 79.2, 2039e9, 312e12, None, 80),
        # NVIDIA H100 data sheet, SXM: 80 GB HBM3, 3.35 TB/s, bf16 1,979 and fp8 3,958 TFLOPS with sparsity.
        Device("H100", 79.2, 3350e9, 989e12, 1979e12, 90),
        # NVIDIA H200 data sheet, SXM: 141 GB HBM3e, 4.8 TB/s, arithmetic as the H100's.
        Device("H200", 139.8, 4800e9, 989e12, 1979e12, 90),
    )
}


def known_device(name: str) -> Device | None:
    """The GPU that a driver calls so ("NVIDIA H100 80GB HBM3", "NVIDIA A10"); None where it is not in the table.

    A PCIe card or an H100 NVL has less bandwidth or arithmetic than the SXM module: it counts as unknown.
    """
    words = set(re.split(r"[\s_-]+", name.upper()))
    if words & {"PCIE", "NVL", "MIG"} or ("A100" in words and "40GB" in words):
        return None
    return next((device for device in DEVICES.values() if device.name in words), None)
