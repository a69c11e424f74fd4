"""Every exception the package raises on purpose, as one tree.

BijectoryError                     anything below; the command line prints it as one line and exits with 2
├── InputError (ValueError)        an argument, a row or a file that a person handed in
│   ├── ShapeError                 a tensor of another shape than the model was made for
│   ├── DomainError                a value outside the support on which a map is defined
│   ├── KnobError                  an unknown or ill-typed knob of a recipe
│   ├── UnknownNameError           a recipe, verb or column that does not exist
│   └── DataError                  a file or table that cannot be read as what it should be
├── RunError                       a run directory
│   ├── RunExistsError             it is there already and would be overwritten
│   ├── RunIncompleteError         it is missing, half-written, or not a run at all
│   └── CheckpointError            its tensors are truncated, altered, or give other numbers than when they were saved
├── RankLostError                  another process of the same job ended before its work was done
├── NumericError (ArithmeticError) arithmetic that has no trustworthy result
│   ├── InverseError               a numeric inverse that did not converge
│   └── NonFiniteError             NaN or infinity where a number was promised
└── MissingExtraError (ImportError) an optional dependency that is not installed
"""

from __future__ import annotations


class BijectoryError(Exception):
    """The root of the tree: every error that is a person's to mend."""


class InputError(BijectoryError, ValueError):
    """An argument, a row or a file is not what it should be."""


class ShapeError(InputError):
    """A tensor has another shape than the one declared."""


class DomainError(InputError):
    """A value lies outside the support on which a map is defined."""


class KnobError(InputError):
    """A knob of a recipe is unknown or has the wrong type."""


class UnknownNameError(InputError):
    """A recipe, verb or column of that name does not exist."""


class DataError(InputError):
    """A file or a table cannot be read as what it should be."""


class RunError(BijectoryError):
    """A run directory cannot be used."""


class RunExistsError(RunError):
    """A run directory is there already; nothing in it was touched."""


class RunIncompleteError(RunError):
    """A run directory is missing, half-written, or not a run."""


class CheckpointError(RunError):
    """A checkpoint is truncated or altered, or gives other numbers than when it was saved."""


class InterruptedTraining(BijectoryError):
    """A signal asked training to stop; everything is saved. ``signal`` is its number."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class RankLostError(BijectoryError):
    """Another process of a job of several has ended."""


class NumericError(BijectoryError, ArithmeticError):
    """A computation has no trustworthy result."""


class InverseError(NumericError):
    """A numeric inverse did not converge."""


class NonFiniteError(NumericError):
    """NaN or infinity stands where a number was promised."""


class MissingExtraError(BijectoryError, ImportError):
    """An optional dependency is not installed."""
