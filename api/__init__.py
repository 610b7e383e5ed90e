"""The edges: the HTTP interface and the command line, thin over commands and projections."""
