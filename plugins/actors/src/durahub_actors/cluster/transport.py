"""Calls between hosts: bytes over gRPC, with a token that everyone who can read the store knows."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from durahub.errors import StartupError

SERVICE = "durahub.actors.Host"
TOKEN = "durahub-host-token"  # noqa: S105 - the name of a header
MAX_FRAME_BYTES = 256 * 1024 * 1024
"""Frames carry whole batches; both ends are this program."""

Handler = Callable[[bytes], Awaitable[bytes]]

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_FRAME_BYTES),
    ("grpc.max_send_message_length", MAX_FRAME_BYTES),
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files in PEM format with which hosts prove to each other who they are.

    Attributes:
        certificate: Of this host, for its address.
        key: Its private key.
        authority: Who signs the certificates of all hosts.
    """

    certificate: Path
    key: Path
    authority: Path

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return credentials that demand a certificate of clients too."""
        return grpc.ssl_server_credentials(
            [(self.key.read_bytes(), self.certificate.read_bytes())],
            root_certificates=self.authority.read_bytes(),
            require_client_auth=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return credentials of a client."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.authority.read_bytes(),
            private_key=self.key.read_bytes(),
            certificate_chain=self.certificate.read_bytes(),
        )


class HostServer:
    """Answers other hosts. Its life is `start`, calls, `stop`.

    Args:
        handlers: What answers a call, by the name of the method.
        token: What calls have to carry.
        tls: Encrypt, and ask for certificates; None: neither.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], token: bytes, tls: TlsFiles | None = None
    ) -> None:
        self._handlers = handlers
        self._token = token
        self._tls = tls
        self._server: grpc.aio.Server | None = None

    async def start(self, address: str, port: int) -> int:
        """Listen, and return the port; 0 lets the system choose one.

        Raises:
            StartupError: The address can't be used.
        """
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((_Routes(self._handlers, self._token),))
        target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        try:
            if self._tls is None:
                bound = self._server.add_insecure_port(target)
            else:
                bound = self._server.add_secure_port(target, self._tls.server_credentials())
        except (RuntimeError, OSError) as error:
            raise StartupError(
                f"hosts of the actors backend can't meet at {target}: {error}"
            ) from error
        await self._server.start()
        return bound

    async def stop(self, grace_s: float = 1.0) -> None:
        """Refuse new calls, and give those in progress some time."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None


class _Routes(grpc.GenericRpcHandler):
    def __init__(self, handlers: Mapping[str, Handler], token: bytes) -> None:
        self._token = token
        self._routes: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            f"/{SERVICE}/{name}": grpc.unary_unary_rpc_method_handler(self._guarded(handler))
            for name, handler in handlers.items()
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return what answers a call."""
        return self._routes.get(handler_call_details.method)

    def _guarded(
        self, handler: Handler
    ) -> Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]:
        async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            given = dict(context.invocation_metadata() or ()).get(TOKEN, "")
            if not hmac.compare_digest(str(given).encode(), self._token):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong host token")
            return await handler(request)

        return answer


class HostChannel:
    """A way to another host.

    Args:
        address: Where it listens.
        token: What calls carry.
        tls: As of the server.
    """

    def __init__(self, address: str, token: bytes, tls: TlsFiles | None) -> None:
        self._metadata = ((TOKEN, token.decode()),)
        if tls is None:
            self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(
                address, tls.channel_credentials(), options=_OPTIONS
            )

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as this side has noticed."""
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def call(self, method: str, request: bytes, timeout_s: float) -> bytes:
        """Return the host's answer.

        Raises:
            grpc.aio.AioRpcError: There is none; the host may have carried out the call all the same.
        """
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/{SERVICE}/{method}"
        )
        answer: bytes = await ask(request, timeout=timeout_s, metadata=self._metadata)
        return answer

    async def close(self, grace_s: float) -> None:
        """Give up the way, and after `grace_s` seconds the calls on it, which are cancelled then."""
        await self._channel.close(grace_s)
