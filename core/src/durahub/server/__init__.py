"""What faces the outside: the gRPC and HTTP servers, and the life cycle of the sidecar process.

`rpc` is the vocabulary in which services are written, `grpc_transport` the only module that knows the
RPC library, `http_app` health and metadata, and `sidecar` what starts and stops everything in order.
"""
