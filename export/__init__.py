"""Export: trained parts → one checked bundle. Needs the `export` extra; never shipped."""
