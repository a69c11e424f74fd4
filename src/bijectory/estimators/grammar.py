"""What the estimators take from scikit-learn, which is imported here and, in the package, nowhere else at a module's head."""

from __future__ import annotations

from ..errors import MissingExtraError

try:
    from sklearn.base import BaseEstimator, DensityMixin, OutlierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import (
        _check_sample_weight,
        check_array,
        check_consistent_length,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )
except ImportError as error:
    raise MissingExtraError("scikit-learn 1.6 or later is not installed; pip install 'bijectory[sklearn]'") from error

__all__ = [
    "BaseEstimator",
    "DensityMixin",
    "OutlierMixin",
    "RegressorMixin",
    "_check_sample_weight",
    "check_array",
    "check_consistent_length",
    "check_is_fitted",
    "check_random_state",
    "column_or_1d",
    "validate_data",
]
