"""An SMTP server that fails as the test says. It reads one mode a line from standard input, and writes one JSON object a
line for everything that happens to it. Arguments: certificate and key for STARTTLS, or nothing.

Modes: ok, hang (no greeting), hang_at_data (the mail is taken, no answer), drop (the mail is taken, the connection
closed), grey (a recipient is asked to come later at first), busy (421 for all), tempfail (451 after the data),
endless (an answer without an end). Recipients that begin with `nobody` do not exist, and those that begin with `grey` are
asked to come later at first in every mode; with auth, only `shop` may send.
"""

import asyncio
import json
import ssl
import sys
import threading
import time

from aiosmtpd.smtp import SMTP, AuthResult

mode = "ok"
seen = set()
telling = threading.Lock()


def tell(**what):
    # Two threads tell: a line must be one write.
    with telling:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


class Server(SMTP):
    """The server, for what happens before the first command."""

    def connection_made(self, transport):
        tell(what="connected", at=time.monotonic())
        super().connection_made(transport)

    async def _handle_client(self):
        if mode == "hang":
            await asyncio.sleep(3600)
        if mode == "endless":
            line = b"220-" + b"x" * 65536
            try:
                while True:
                    self.transport.write(line)
                    await asyncio.sleep(0)
                    if self.transport.get_write_buffer_size() > 4 << 20:
                        await asyncio.sleep(0.01)
            except Exception:
                return
        await super()._handle_client()


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if mode == "busy":
            return "421 4.3.2 too many mails"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            tell(what="refused", to=address)
            return "550 5.1.1 no such mailbox <%s>" % address
        if (mode == "grey" or address.startswith("grey")) and address not in seen:
            seen.add(address)
            tell(what="greylisted", to=address)
            return "450 4.2.0 <%s>: greylisted" % address
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        # The test may change the mode as soon as it is told of this mail.
        mode_now = mode
        content = envelope.content
        if isinstance(content, bytes):
            content = content.decode("utf-8", "replace")
        encrypted = session.ssl is not None
        user = session.auth_data.login.decode() if session.auth_data else None
        tell(what="mail", mode=mode_now, at=time.monotonic(), to=envelope.rcpt_tos, sender=envelope.mail_from,
             content=content, encrypted=encrypted, user=user)
        if mode_now == "hang_at_data":
            await asyncio.sleep(3600)
        if mode_now == "drop":
            server.transport.abort()
            await asyncio.sleep(3600)
        if mode_now == "tempfail":
            return "451 4.3.0 try again"
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"shop" and data.password == b"correct horse"
    return AuthResult(success=good, auth_data=data if good else None, handled=good)


def read_modes():
    global mode
    for line in sys.stdin:
        mode = line.strip()
        tell(what="mode", mode=mode)
    # The test has ended.
    import os
    os._exit(0)


async def main():
    options, listener = {}, {}
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        options = {"auth_required": True, "authenticator": authenticate}
        if "--implicit" in sys.argv:
            # Encrypted from the connection's begin, which the protocol's object does not know.
            listener, options["auth_require_tls"] = {"ssl": context}, False
        else:
            options |= {"tls_context": context, "require_starttls": True}
    utf8 = "--no-utf8" not in sys.argv
    server = await asyncio.get_running_loop().create_server(
        lambda: Server(Handler(), enable_SMTPUTF8=utf8, hostname="sink.example", **options), "127.0.0.1", 0,
        **listener)
    tell(what="listening", port=server.sockets[0].getsockname()[1])
    threading.Thread(target=read_modes, daemon=True).start()
    await server.serve_forever()


asyncio.run(main())
