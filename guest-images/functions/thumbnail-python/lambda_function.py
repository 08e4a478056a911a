"""Scales a picture."""

import base64
import io

from PIL import Image

MOST = 4096
"""Largest width in pixels."""


def drawn():
    """A picture for callers who send none: 640 by 480, a gradient."""
    width, height = 640, 480
    gradients = (Image.linear_gradient("L").resize((width, height)), Image.radial_gradient("L").resize((width, height)))
    return Image.merge("RGB", (*gradients, Image.new("L", (width, height), 128)))


picture = drawn()


def lambda_handler(event, context):
    """Scales `image`, a file in base64, to `width` pixels, 128 if absent. Answers with a JPEG in base64 and its size."""
    width = event.get("width", 128)
    if type(width) is not int or not 1 <= width <= MOST:
        raise ValueError(f'"width" must be a whole number from 1 to {MOST}.')
    source = picture if "image" not in event else Image.open(io.BytesIO(base64.b64decode(event["image"])))
    height = max(1, round(source.height * width / source.width))
    scaled = source.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    scaled.save(file, "JPEG", quality=85)
    return {"width": width, "height": height, "jpeg": base64.b64encode(file.getvalue()).decode()}
