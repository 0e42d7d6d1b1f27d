"""The application that runs in every region: small, with a true health answer, cheap to serve.

It never steers: which region answers is decided by the edge in front of it.
"""

__version__ = "0.1.0"
