"""serveoff: in which format, on which server, should this model go to production?"""

__version__ = "0.1.0"
