"""The limits of the health check. tests/tools/test_health.py has the healthy networks that they were tried on."""

# A channel's moving statistics are off if its mean is a standard deviation away or its deviation is wrong by a factor
# of two: then at least a third of its normalized values change their sign, or double. Moving averages of momentum 0.9
# and batches of 32 are within 0.1 of the population for fixed weights. Training adds some tenths.
OFF_MEAN, OFF_DEVIATION = 1.0, 2.0
# All norms together. In small healthy networks, trained for some epochs with batches from 4, at most 9 % of the
# examples get another class with the statistics of the data, and outputs change by a tenth of their variance. With
# averaged weights (EMA, schedule-free) and the statistics of other weights, half of the classes change.
OTHER_CLASSES, OTHER_OUTPUTS = 0.1, 0.25
# A few channels that hardly ever fire are off by chance; this many are not.
OFF_SHARE = 0.1
# Initial values in the statistics are a fault if the statistics do not fit as well as after recalibration, which leaves
# at most 0.1 standard deviations on some hundred other examples.
UNFIT_MEAN, UNFIT_DEVIATION = 0.2, 1.2
# With a tenth of the initial values left, they may still be half of the moving variance.
LEFT_TOO_MUCH, LEFT_ENOUGH = 0.1, 0.01
# A normalized channel varies by gamma, of the order of 1. The next layer cannot use a variation this small.
DEAD = 1e-4
# a hundredth of the initial gamma
NEAR_ZERO = 0.01
# The root mean square of a normalized output is sqrt(gamma^2 + beta^2). In trained networks it rarely exceeds 10.
EXPLODING = 100.0
# Trained networks lose channels to ReLU and weight decay without harm, but a quarter of the width is capacity.
DEAD_SHARE = 0.25
# Half of a normalized distribution is on the flat side of ReLU by design, and up to 90 % in sparse networks.
SATURATED = 0.95
# 3 % of a normalized distribution is in the flat regions of tanh, 0.4 % in those of sigmoid.
SATURATED_BOUNDED = 0.5
# Relative to the largest gradient behind it, a gradient is at least a tenth in small healthy networks, and 8e-3 in a
# new ResNet-50. Six layers of sigmoid, which do not train, start with 2e-4; three, which do, with 2e-2.
VANISHING = 1e-3
# At a learning rate of 1e-4 a step of SGD would replace the kernel. A new ResNet-50, which trains, reaches 200.
EXPLODING_GRADIENT = 1e4
