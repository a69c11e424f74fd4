"""Glow on pictures of one's own: a folder of files, or an .npz of integers.

    bijectory fit FOLDER

Size, channels, levels, model and budget are chosen by what is there, and said. What was chosen is recorded with the run.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Literal, NamedTuple

from ..data.folders import LEAST, Listing, Survey, list_pictures, picture_splits, survey
from ..data.preparation import Preparation, parsed_size
from ..data.splits import Splits
from ..errors import DataError, InputError
from ..evaluation.histograms import histogram_rows
from ..evaluation.likelihood import bits_per_dim, mean_and_stderr
from ..experiments.recipe import Recipe
from ..transforms.reversible import Memory
from ._glow import Size, glow_recipe
from ._pictures import Training

#: Pictures up to this side are taken as they are; larger ones are brought to about this area, and from so many minutes on to the larger.
AS_THEY_ARE, SMALL, LARGE, PATIENT = 64, 32, 64, 60.0
#: Steps of flow a scale, and filters: the largest of these is taken that makes so many updates within the minutes.
MODELS = ((4, 32), (4, 48), (6, 64), (8, 64), (8, 96), (8, 128), (16, 128), (16, 192), (32, 256))
ENOUGH = 3_000
#: No more updates than so many times over all pictures, by which they are known by heart, but no fewer than these.
EPOCHS, FEWEST = 300, 300
#: Below so many pictures weights decay.
FEW, DECAY = 5_000, 0.1


class Plan(NamedTuple):
    """A model and its training, chosen by what the pictures are."""

    scales: int
    depth: int
    hidden: int
    batch: int
    steps: int
    weight_decay: float


def pictures(
    *,
    data: Path | None = None,
    size: str | None = None,
    bits: int | None = None,
    levels: int | None = None,
    background: Literal["black", "white"] | None = None,
    skip: bool = False,
    minutes: float = 5.0,
    scales: int | None = None,
    depth: int | None = None,
    hidden: int | None = None,
    batch: int | None = None,
    steps: int | None = None,
    rate: float = 2e-3,
    weight_decay: float | None = None,
    alpha: float = 0.05,
    flips: bool = False,
    memory: Memory = "plain",
    checksum: str | None = None,
    smoke: bool = False,
) -> Recipe:
    """Glow on the pictures of a folder, its size chosen by what they are.

    data: folder of pictures, or an .npz of integers (rows, height, width[, channels])
    size: pixels to bring every picture to, such as 32, or height x width such as 24x32; none for as they are
    bits: bits of each value that are counted, 1 to 8; none for the fewest levels that tell all values apart
    levels: how many values the integers of an .npz have; none for what its array levels says, or 256
    background: black or white, on which transparent pictures are laid; with none they are refused
    skip: leave bad files out, by name and count, instead of stopping at the first
    minutes: what training may take on two cores; chooses model, batch and steps where they are none
    scales: squeezes; none for as often as the sides can be halved, at most 3
    depth: steps of flow at each scale
    hidden: filters of each coupling's network
    batch: pictures an update
    steps: updates
    rate: Adam's learning rate at its highest
    weight_decay: AdamW's; none for 0.1 below 5,000 pictures, which are soon learned by heart, and 0 above
    alpha: margin of the logit
    flips: mirror half of the training pictures, where left and right mean the same
    memory: plain, or rebuild, which recomputes activations while it goes backwards
    checksum: written by the run, of the files' names and lengths: a folder that changed would be split otherwise, and is refused
    smoke: a run of seconds on generated pictures of 8×8 pixels, to see that everything works
    """
    if bits is not None and not 1 <= bits <= 8:
        raise InputError(f"bits: expected 1 to 8 a value, got {bits}")
    if minutes <= 0:
        raise InputError(f"minutes: expected more than 0, got {minutes:g}")
    prepare = Preparation(resize=size is not None, convert=True, background=background, depth=levels)
    plan, chosen = planned((1, 8, 8), LEAST, minutes), dict[str, object]()
    given = dict(zip(Plan._fields, (scales, depth, hidden, batch, steps, weight_decay), strict=True))
    own = {name: value for name, value in given.items() if value is not None}
    if data is not None and not smoke and checksum is None:
        # A run that is being made. One that is read back finds all of this in its knobs, and is loaded without its pictures.
        data = data.resolve()
        listing = list_pictures(data)
        found = _survey(listing, prepare, levels, skip)
        size = size or _brought_to(found, minutes)
        sides = _sides(found, size)
        _check_even(data, sides)
        plan = planned((found.channels, *sides), found.pictures, minutes)._replace(**own)  # type: ignore[arg-type]
        prepare = dataclasses.replace(prepare, resize=size is not None, depth=found.levels)
        checksum = listing.checksum
        chosen = {"data": data, "size": size, "levels": found.levels, "checksum": checksum, **plan._asdict()}
    plan = plan._replace(**own)  # type: ignore[arg-type]

    def read(folder: Path | None, seed: int) -> Splits:
        if data is None:
            raise DataError("data: expected a folder of pictures, got none; name it: bijectory fit FOLDER")
        listing = list_pictures(data)
        if listing.checksum != checksum:
            raise DataError(
                f"{data}: expected the files that this run was made with, found others (by their names and lengths), which would be "
                "split otherwise; put them back, or train anew"
            )
        found = _survey(listing, prepare, None, skip)
        counted = None if bits is None else 1 << bits
        splits = picture_splits(found, seed, size=_sides(found, size), levels=counted, prepare=prepare, skip=skip)
        return dataclasses.replace(splits, notes=(*splits.notes, _alone(splits), _budget(plan)))

    recipe = glow_recipe(
        read,
        Size(
            scales=plan.scales,
            depth=plan.depth,
            hidden=plan.hidden,
            blocks=0,
            training=Training(plan.steps, plan.batch, rate, warmup=200, decay=1.0, weight_decay=plan.weight_decay),
        ),
        shape=(1, 8, 8),
        levels=256,
        alpha=alpha,
        coupling="affine",
        mixing="lu",
        multiscale=True,
        memory=memory,
        flips=flips,
        expect=None,
        smoke=smoke,
    )
    return dataclasses.replace(recipe, preparation=prepare, chosen=chosen)


def planned(shape: tuple[int, int, int], count: int, minutes: float) -> Plan:
    """The model and its training for ``count`` pictures of a shape in so many minutes on two cores.

    The largest of ``MODELS`` that makes 3,000 updates in that time, and 300 rounds over all pictures at most.
    """
    _, height, wide = shape
    halved = [n for n in (3, 2) if height % 2**n == wide % 2**n == 0 and min(height, wide) > 2**n]
    scales = halved[0] if halved else 1
    batch = min(32, max(4, 1 << int(math.log2(count / 8))))
    seconds = {model: step_seconds(shape, scales, *model, batch) for model in MODELS}
    fits = [model for model in MODELS if 60 * minutes >= ENOUGH * seconds[model]]
    depth, hidden = fits[-1] if fits else MODELS[0]
    steps = min(int(60 * minutes / seconds[depth, hidden]), max(FEWEST, EPOCHS * count // batch))
    return Plan(scales, depth, hidden, batch, max(1, steps), DECAY if count < FEW else 0.0)


def step_seconds(shape: tuple[int, int, int], scales: int, depth: int, hidden: int, batch: int) -> float:
    """What an update takes: a share for each of the flow's steps, and one for each multiplication of its networks' convolutions.

    Seconds of an update on two free cores, batches of 32, models above on 1×8×8, 3×16×16, 1×28×28, 3×32×32 and 3×64×64. On one machine
    (2026-11-22) 33 of them took 0.36 to 0.58 of what this says; on a slower one, the day before, 30 took 0.29 to 0.71 of a formula whose
    shares were 1.4 and 2.1 times these, and one whole run, 6,000 faces of 32×32, 80 ms an update where this says 81. Which machine it is,
    and whether its cores are free, is not known here.
    """
    channels, height, wide = shape
    return 4e-3 * scales * depth + 4e-11 * batch * height * wide * depth * hidden * (54 * channels + hidden)


def _survey(listing: Listing, prepare: Preparation, levels: int | None, skip: bool) -> Survey:
    if listing.source.is_dir() and levels is not None:
        raise InputError(
            f"levels: says what the integers of an .npz are, and {listing.source} is a folder; ask for fewer with bits="
        )
    if not listing.source.is_dir() and prepare.resize:
        raise InputError(f"size: resizes picture files, and {listing.source} holds arrays; resize them first")
    return survey(listing, prepare=prepare, skip=skip)


def _sides(found: Survey, size: str | None) -> tuple[int, int]:
    """(height, width) of the pictures as the flow sees them."""
    return parsed_size(size) if size is not None else next(iter(found.sizes))


def _brought_to(found: Survey, minutes: float) -> str | None:
    """The size that pictures are brought to unasked, because they are large; None for as they are."""
    source = found.listing.source
    if len(found.sizes) > 1:
        each = sorted(found.sizes.items(), key=lambda item: -item[1][0])
        some = ", ".join(
            f"{wide}×{height} ({count:,}, the first {first})" for (height, wide), (count, first) in each[:3]
        )
        raise DataError(
            f"{source}: expected pictures of one size, got {some}{' …' * (len(each) > 3)}; say size=32, or size=24x32 for height x width: "
            "they are cut to its proportions around the middle and resized"
        )
    ((height, wide),) = found.sizes
    if max(height, wide) > AS_THEY_ARE:
        if not source.is_dir():
            raise DataError(
                f"{source}: expected pictures of at most {AS_THEY_ARE}×{AS_THEY_ARE}, got {wide}×{height}; resize them first"
            )
        # The same proportions, nearly, in sides that can be halved three times.
        side, tall = (LARGE if minutes >= PATIENT else SMALL), math.sqrt(height / wide)
        return f"{max(8, 8 * round(side * tall / 8))}x{max(8, 8 * round(side / tall / 8))}"
    return None


def _check_even(source: Path, sides: tuple[int, int]) -> None:
    height, wide = sides
    if height % 2 or wide % 2:
        raise DataError(
            f"{source}: expected an even height and width, which a flow can halve, got {wide}×{height}; padding would add pixels that "
            f"are no data: say size={height - height % 2}x{wide - wide % 2} (height x width) to have them resized"
        )


def _alone(splits: Splits) -> str:
    """What the test pictures cost where no pixel knows of another."""
    dims, levels = math.prod(splits.schema.event_shape), splits.levels
    assert levels is not None
    mean, error = mean_and_stderr(-histogram_rows(splits.train.x, splits.test.x, levels))
    bits, error = bits_per_dim(mean, dims), bits_per_dim(error, dims)
    return f"to be beaten: {bits:.4f} ± {error:.4f} bits/dim on the test pictures, by a histogram of each value alone"


def _budget(plan: Plan) -> str:
    return (
        f"Glow of {plan.scales} scales, {plan.depth} steps of flow at each, {plan.hidden} filters: {plan.steps:,} updates of {plan.batch} "
        "pictures"
    )
