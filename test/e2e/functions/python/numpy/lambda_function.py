import numpy

generator = numpy.random.default_rng()
old = numpy.random.RandomState(7)


def lambda_handler(event, context):
    values = [generator.random(), old.normal(), numpy.random.random()]
    return {"values": values, "sum": int(numpy.arange(10).sum())}
