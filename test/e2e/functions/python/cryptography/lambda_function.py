from cryptography.hazmat.primitives.asymmetric import ec


def draw():
    return hex(ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value)


draw()


def lambda_handler(event, context):
    return {"key": draw()}
