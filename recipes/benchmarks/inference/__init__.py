"""How long does an exported network take for an answer, and to load, against Keras' own export and against PyTorch?"""
