from io import BytesIO

from PIL import Image, ImageDraw, ImageFilter


def lambda_handler(event, context):
    """Draws an image, blurs it, and writes it as PNG and JPEG."""
    image = Image.new("RGB", (320, 240), "navy")
    draw = ImageDraw.Draw(image)
    for step in range(20):
        draw.ellipse((step * 10, step * 8, step * 10 + 80, step * 8 + 60), outline="white", fill=(step * 12, 80, 160))
    draw.text((20, 20), f"Dear {event['name']}", fill="yellow")
    small = image.filter(ImageFilter.GaussianBlur(3)).resize((160, 120), Image.Resampling.LANCZOS)
    encoded = {}
    for kind in ("PNG", "JPEG"):
        output = BytesIO()
        small.save(output, kind)
        encoded[kind] = output.getvalue()
    return {"answered": encoded["PNG"].startswith(b"\x89PNG") and encoded["JPEG"].startswith(b"\xff\xd8")}
