"""What is too much. Healthy networks on which this was tried: tests/tools/test_health.py."""

# A channel's moving statistics are off if its mean is a standard deviation away or its deviation is off by a factor of
# two: then at least a third of its normalized values cross zero, or double. Moving averages of momentum .9 and batches
# of 32 are within .1 of the population of fixed weights; training moves it by some tenths.
OFF_MEAN, OFF_DEVIATION = 1.0, 2.0
# All norms together: of small healthy networks, trained for some epochs and with batches from 4, at most 9 % of the
# classes are others with the statistics of the data, and outputs move by a tenth of their variance; weights that are
# averages (EMA, schedule-free) beside the statistics of others change half of them.
OTHER_CLASSES, OTHER_OUTPUTS = 0.1, 0.25
# Single channels that hardly ever fire are off by chance; so many are not.
OFF_SHARE = 0.1
# What is left of the initial value is a fault where the statistics do not fit as after recalibration: on some hundred
# other examples these are off by .1 standard deviations at most.
UNFIT_MEAN, UNFIT_DEVIATION = 0.2, 1.2
# With a tenth of the initial values left the moving variance may still be half made of them.
LEFT_TOO_MUCH, LEFT_ENOUGH = 0.1, 0.01
# A normalized channel varies by gamma, of the order of 1; the next layer cannot tell so little from nothing.
DEAD = 1e-4
# A hundredth of what gamma starts with.
NEAR_ZERO = 0.01
# The root mean square of a normalized output is sqrt(gamma^2 + beta^2); trained ones rarely exceed 10.
EXPLODING = 100.0
# Trained networks lose channels to ReLU and weight decay without harm; a quarter of the width is capacity.
DEAD_SHARE = 0.25
# Half of a normalized distribution is on the flat side of ReLU by design, and sparse networks have up to 90 %.
SATURATED = 0.95
# Of a normalized distribution 3 % is where tanh is flat, 0.4 % where sigmoid is.
SATURATED_BOUNDED = 0.5
# Beside the largest behind it: in small healthy networks it is a tenth at least, in a new ResNet-50 8e-3. Six layers of
# sigmoid, which do not train, start with 2e-4; three, which do, with 2e-2.
VANISHING = 1e-3
# With learning rate 1e-4 a step of SGD would replace the kernel. In a new ResNet-50, which trains, it may be 200.
EXPLODING_GRADIENT = 1e4
