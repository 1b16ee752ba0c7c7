"""`python -m examples.demo`: Dapr workflows on Durahub, and what a crash does to them."""
