"""scikit-learn is an extra: without it the estimators' tests have nothing to stand on."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = (
    []
    if find_spec("sklearn")
    else ["test_grammar.py", "test_density.py", "test_anomaly.py", "test_regressor.py", "test_saving.py"]
)
