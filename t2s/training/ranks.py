"""The workers of one training as one of them sees the others: torch's process group, or none for a single process.

What is agreed on here goes over gloo and the CPU, whatever the gradients take: no step waits for the GPU because of it.
"""

from __future__ import annotations

from typing import Any, TypeVar

_T = TypeVar("_T")


class Ranks:
    """Made once in every worker, at the same time.

    Attributes:
        rank, world_size: Of this worker, and how many there are.
        local_rank, node_rank: Of this worker on its node, and of its node.
    """

    def __init__(self, local_rank: int = 0, node_rank: int = 0) -> None:
        import torch.distributed as dist

        self.local_rank, self.node_rank = local_rank, node_rank
        self._group: Any = None
        self.rank, self.world_size = 0, 1
        if dist.is_available() and dist.is_initialized():
            self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
            if self.world_size > 1:
                self._group = dist.new_group(backend="gloo")

    @property
    def is_first(self) -> bool:
        """Whether this is the worker that speaks for all."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether any worker says so; every worker must ask, and gets the same answer."""
        if self._group is None:
            return flag
        import torch
        import torch.distributed as dist

        tensor = torch.tensor([int(flag)], dtype=torch.int32)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=self._group)
        return bool(tensor.item())

    def gather(self, value: _T) -> list[_T]:
        """What every worker has, by rank; every worker must call it, and none goes on before all have."""
        if self._group is None:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self._group)
        return values
