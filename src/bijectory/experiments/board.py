"""What TensorBoard sees of a run: the curves and the pictures of the page, while training goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import MissingExtraError
from ..evaluation.likelihood import Score
from ..evaluation.pictures import Picture
from .record import Run


class Board:
    """Events in the run's folder ``tensorboard``; those of an earlier life of the run after ``step`` are forgotten."""

    def __init__(self, record: Run, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard: is not installed; pip install 'bijectory[tensorboard]'") from error
        self.columns = tuple(record.settings["columns"])
        self.writer = SummaryWriter(str(record.path / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, terms: Mapping[str, float], scores: Iterable[Score], pictures: Iterable[Picture]) -> None:
        """Everything of one look."""
        for name, value in terms.items():
            self.writer.add_scalar(f"train/{name}", value, step)
        for score in scores:
            self.writer.add_scalar(f"{score.split}/{score.name}", score.value, step)
        # matplotlib takes a third of a second to load: only runs that draw pay for it.
        from ..figures.plates import plates
        from ..figures.style import LIGHT, pixels

        for picture in pictures:
            for plate in plates(picture.name, picture.arrays, self.columns):
                self.writer.add_image(plate.name, pixels(plate.draw(LIGHT)), step, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self.writer.close()
