"""One payload's whole way, tried: nothing is kept, nothing is sent."""
