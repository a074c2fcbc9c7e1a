"""Variational autoencoders: M1 and M2 of Kingma et al. 2014, https://arxiv.org/abs/1406.5298."""
