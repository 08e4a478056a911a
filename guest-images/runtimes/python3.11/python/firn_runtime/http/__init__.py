"""HTTP requests, as the several shapes of handlers take and answer them."""
