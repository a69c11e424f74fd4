"""Partitions of pictures into a part that stays and a part that moves: three good ones, and three that are bad on purpose."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ..errors import ShapeError


def even_size(x: Tensor, name: str, *, height: bool = True, width: bool = True) -> tuple[int, int]:
    """Half the height and half the width of pictures (*batch, C, H, W), or a ShapeError that says what to do."""
    if x.dim() < 3 or (height and x.shape[-2] % 2) or (width and x.shape[-1] % 2):
        needed = " and ".join([*(["height"] if height else []), *(["width"] if width else [])])
        raise ShapeError(
            f"x: {name} expects pictures (*batch, channels, height, width) of even {needed}, got {tuple(x.shape)}; resize or crop "
            "them by one row or column, or use a flow that squeezes less often"
        )
    return x.shape[-2] // 2, x.shape[-1] // 2


class PicturePartition(abc.ABC):
    """Two parts of a picture (C, H, W), each a smaller picture that a convolution can read, whatever height and width.

    Without ``flip`` the first part stays and the second moves; with it they swap. To write one: fill in ``_cut``, ``_join`` and
    ``_channels``. Raises ShapeError for pictures that have no such halves.
    """

    event_dim: int = 3

    def __init__(self, flip: bool = False) -> None:
        self.flip = flip

    @abc.abstractmethod
    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(*batch, C, H, W) -> the first and the second part."""

    @abc.abstractmethod
    def _join(self, first: Tensor, second: Tensor) -> Tensor:
        """The inverse of ``_cut``."""

    @abc.abstractmethod
    def _channels(self, channels: int) -> tuple[int, int]:
        """How many channels the two parts of a picture with so many have."""

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(*batch, C, H, W) -> the part that stays and the part that moves."""
        first, second = self._cut(x)
        return (second, first) if self.flip else (first, second)

    def merge(self, staying: Tensor, moving: Tensor) -> Tensor:
        """The inverse of ``split``."""
        return self._join(moving, staying) if self.flip else self._join(staying, moving)

    def channels(self, channels: int) -> tuple[int, int]:
        """The channels of the part that stays and of the part that moves, for pictures with so many."""
        first, second = self._channels(channels)
        return (second, first) if self.flip else (first, second)

    @abc.abstractmethod
    def flipped(self) -> PicturePartition:
        """The same parts, the other one moving."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(flip={self.flip})"


class Checkerboard(PicturePartition):
    """The two colours of a checkerboard, each (C, H, W/2): even rows give their even columns to the first part, odd rows their odd ones.

    Half as wide, so that a network works on the numbers it reads and on no others: a masked picture costs it twice as much.
    Source: Dinh et al. 2016 (arXiv:1605.08803), in the half-width form of CS294-158's homework 2.

    >>> import torch
    >>> [part.tolist() for part in Checkerboard().split(torch.arange(8.0).reshape(1, 2, 4))]
    [[[[0.0, 2.0], [5.0, 7.0]]], [[[1.0, 3.0], [4.0, 6.0]]]]
    """

    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = even_size(x, "Checkerboard")
        # Unbound and stacked, whose gradients are stacks and views; an index would cost a zero-filled copy for each.
        even, odd = x.unflatten(-2, (height, 2)).unbind(-2)
        (a, b), (c, d) = even.unflatten(-1, (width, 2)).unbind(-1), odd.unflatten(-1, (width, 2)).unbind(-1)
        return torch.stack([a, d], -2).flatten(-3, -2), torch.stack([b, c], -2).flatten(-3, -2)

    def _join(self, first: Tensor, second: Tensor) -> Tensor:
        half = first.shape[-2] // 2
        (a, d), (b, c) = first.unflatten(-2, (half, 2)).unbind(-2), second.unflatten(-2, (half, 2)).unbind(-2)
        even, odd = torch.stack([a, b], -1).flatten(-2), torch.stack([c, d], -1).flatten(-2)
        return torch.stack([even, odd], -2).flatten(-3, -2)

    def _channels(self, channels: int) -> tuple[int, int]:
        return channels, channels

    def flipped(self) -> Checkerboard:
        """The same parts, the other one moving."""
        return Checkerboard(not self.flip)


class ChannelHalves(PicturePartition):
    """The first half of ``channels`` and the rest, for pictures that were squeezed (Dinh et al. 2016, arXiv:1605.08803).

    Raises ShapeError for fewer than two channels.

    >>> import torch
    >>> [part.shape for part in ChannelHalves(12).split(torch.zeros(5, 12, 4, 4))]
    [torch.Size([5, 6, 4, 4]), torch.Size([5, 6, 4, 4])]
    """

    def __init__(self, channels: int, flip: bool = False) -> None:
        super().__init__(flip)
        if channels < 2:
            raise ShapeError(f"channels: expected at least two, one of them to stay, got {channels}; squeeze first")
        self.total = channels

    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.dim() < 3 or x.shape[-3] != self.total:
            raise ShapeError(f"x: expected pictures (*batch, {self.total}, height, width), got {tuple(x.shape)}")
        first, second = x.split(self._channels(self.total), -3)
        return first, second

    def _join(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first, second], -3)

    def _channels(self, channels: int) -> tuple[int, int]:
        return channels // 2, channels - channels // 2

    def flipped(self) -> ChannelHalves:
        """The same parts, the other one moving."""
        return ChannelHalves(self.total, not self.flip)

    def __repr__(self) -> str:
        return f"ChannelHalves(channels={self.total}, flip={self.flip})"


class Subgrid(PicturePartition):
    """The first pixel of each 2×2 block, a picture of half the size (C, H/2, W/2), and the other three (3C, H/2, W/2).

    The other three come first, the picture of half the size second: ``FactorOut(Subgrid(), transform)`` goes on with the latter, as a
    pyramid of ever coarser pictures does. The three stand pixel by pixel, right, below and below right, each with all its channels.

    >>> import torch
    >>> [part.tolist() for part in Subgrid().split(torch.arange(8.0).reshape(1, 2, 4))]
    [[[[1.0, 3.0]], [[4.0, 6.0]], [[5.0, 7.0]]], [[[0.0, 2.0]]]]
    """

    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = even_size(x, "Subgrid")
        # Unbound and joined, as in Checkerboard.
        even, odd = x.unflatten(-2, (height, 2)).unbind(-2)
        (a, b), (c, d) = even.unflatten(-1, (width, 2)).unbind(-1), odd.unflatten(-1, (width, 2)).unbind(-1)
        return torch.cat([b, c, d], -3), a

    def _join(self, first: Tensor, second: Tensor) -> Tensor:
        b, c, d = first.split(second.shape[-3], -3)
        even, odd = torch.stack([second, b], -1).flatten(-2), torch.stack([c, d], -1).flatten(-2)
        return torch.stack([even, odd], -2).flatten(-3, -2)

    def _channels(self, channels: int) -> tuple[int, int]:
        return 3 * channels, channels

    def flipped(self) -> Subgrid:
        """The same parts, the other one moving."""
        return Subgrid(not self.flip)


class TopBottom(PicturePartition):
    """The upper half of a picture and the lower, each (C, H/2, W): bad on purpose, since most neighbours are on one's own side."""

    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        half, _ = even_size(x, "TopBottom", width=False)
        first, second = x.split((half, half), -2)
        return first, second

    def _join(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first, second], -2)

    def _channels(self, channels: int) -> tuple[int, int]:
        return channels, channels

    def flipped(self) -> TopBottom:
        """The same parts, the other one moving."""
        return TopBottom(not self.flip)


class LeftRight(PicturePartition):
    """The left half of a picture and the right, each (C, H, W/2): bad on purpose, like ``TopBottom``."""

    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, half = even_size(x, "LeftRight", height=False)
        first, second = x.split((half, half), -1)
        return first, second

    def _join(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first, second], -1)

    def _channels(self, channels: int) -> tuple[int, int]:
        return channels, channels

    def flipped(self) -> LeftRight:
        """The same parts, the other one moving."""
        return LeftRight(not self.flip)


class Block(PicturePartition):
    """The lower right quarter of a picture, one block (C, H/2, W/2), and the other three quarters: bad on purpose.

    What lies around the block is no rectangle, so its three quarters are stacked as channels, (3C, H/2, W/2), where a convolution
    reads them at once. They stay and the block moves; with ``flip`` three quarters of the picture move by what the block says.
    """

    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = even_size(x, "Block")
        top, bottom = x.split((height, height), -2)
        (a, b), (c, block) = top.split((width, width), -1), bottom.split((width, width), -1)
        return torch.cat([a, b, c], -3), block

    def _join(self, first: Tensor, second: Tensor) -> Tensor:
        a, b, c = first.tensor_split(3, -3)
        return torch.cat([torch.cat([a, b], -1), torch.cat([c, second], -1)], -2)

    def _channels(self, channels: int) -> tuple[int, int]:
        return 3 * channels, channels

    def flipped(self) -> Block:
        """The same parts, the other one moving."""
        return Block(not self.flip)
