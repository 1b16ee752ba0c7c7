"""The actors backend of Durahub: virtual actors over a state store."""
