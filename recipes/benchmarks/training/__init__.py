"""How long does a training step take, against peers and against the same network without norms?"""
