"""Numbers: likelihoods with unit, standard error and kind."""
