"""Data sets, their labelled splits and the batches drawn from them."""
