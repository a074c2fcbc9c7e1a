"""Models: values of pure functions that the trainer and the evaluator run."""
