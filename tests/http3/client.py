"""An HTTP/3 client for the scenarios: client.py PORT CA NAME. Reads one JSON command a line, answers each with one."""

import asyncio
import hashlib
import json
import socket
import ssl
import sys

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

LIMIT = 20


def body_of(size):
    """The content of an upload of this size, and of an answer that sends it back."""
    return bytes(n * 7 % 251 for n in range(size % 251)) + bytes(range(251)) * (size // 251)


class Answer:
    def __init__(self):
        self.headers, self.trailers, self.size, self.hash = None, None, 0, hashlib.sha256()
        self.reset = self.stopped = None
        self.changed = asyncio.Event()
        self.over = False

    def told(self):
        text = {"over": self.over, "size": self.size, "sha256": self.hash.hexdigest(), "reset": self.reset}
        text |= {"stopped": self.stopped, "headers": self.headers, "trailers": self.trailers}
        text["same"] = self.hash.digest() == hashlib.sha256(body_of(self.size)).digest()
        text["status"] = int(self.headers[":status"]) if self.headers else 0
        return text


class Http(H3Connection):
    """The library does not know that an answer to HEAD has no content."""

    def __init__(self, quic):
        super().__init__(quic)
        self.heads = set()

    def _check_content_length(self, stream):
        if stream.stream_id not in self.heads:
            super()._check_content_length(stream)


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.http = Http(self._quic)
        self.answers, self.control, self.ended, self.alpn = {}, b"", None, None
        self.ended_event = asyncio.Event()
        self.old = []

    def quic_event_received(self, event):
        if isinstance(event, events.HandshakeCompleted):
            self.alpn = event.alpn_protocol
        elif isinstance(event, events.ConnectionTerminated):
            self.ended = event.error_code
            for answer in self.answers.values():
                answer.changed.set()
            self.ended_event.set()
        elif isinstance(event, (events.StreamReset, events.StopSendingReceived)):
            answer = self.answers.get(event.stream_id)
            if answer:
                kind = "reset" if isinstance(event, events.StreamReset) else "stopped"
                setattr(answer, kind, event.error_code)
                answer.changed.set()
        elif isinstance(event, events.StreamDataReceived) and event.stream_id == 3:
            self.control += event.data
        for one in self.http.handle_event(event):
            answer = self.answers.get(one.stream_id)
            if answer is None:
                continue
            if isinstance(one, HeadersReceived):
                fields = {name.decode(): value.decode() for name, value in one.headers}
                if answer.headers is None:
                    answer.headers = fields
                else:
                    answer.trailers = fields
            elif isinstance(one, DataReceived):
                answer.size += len(one.data)
                answer.hash.update(one.data)
            answer.over |= one.stream_ended
            answer.changed.set()

    def goaways(self):
        """The ids in the GOAWAY frames of the server's control stream."""

        def number(at):
            length = 1 << (self.control[at] >> 6)
            value = int.from_bytes(self.control[at : at + length], "big")
            return value & ((1 << (8 * length - 2)) - 1), at + length

        found, at = [], 1
        while at < len(self.control):
            kind, at = number(at)
            length, at = number(at)
            if kind == 7:
                found.append(number(at)[0])
            at += length
        return found

    def begin(self, command):
        stream = self._quic.get_next_available_stream_id()
        self.answers[stream] = Answer()
        if command.get("method") == "HEAD":
            self.http.heads.add(stream)
        headers = command.get("raw")
        if headers is None:
            headers = [(":method", command.get("method", "GET")), (":scheme", "https")]
            headers += [(":authority", command.get("host", "a.test")), (":path", command.get("path", "/"))]
            headers += command.get("headers", [])
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        size, trailers = command.get("size"), command.get("trailers")
        ends = command.get("ends", True)
        self.http.send_headers(stream, headers, ends and size is None and not trailers)
        if size is not None:
            self.http.send_data(stream, body_of(size), ends and not trailers)
        if trailers:
            fields = [(name.encode(), value.encode()) for name, value in trailers]
            self.http.send_headers(stream, fields, ends)
        self.transmit()
        return stream

    async def until(self, stream, said):
        """Waits until the answer has begun ("head"), or has ended."""
        answer = self.answers[stream]
        while self.ended is None and answer.reset is None and not answer.over:
            if said == "head" and answer.headers or said == "stopped" and answer.stopped is not None:
                break
            answer.changed.clear()
            await asyncio.wait_for(answer.changed.wait(), LIMIT)
        return answer.told() | {"stream": stream, "closed": self.ended}


async def udp(make):
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    transport, protocol = await loop.create_datagram_endpoint(make, sock=sock)
    return transport, protocol


async def connect(port, authority, name, command):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=command.get("alpn", H3_ALPN))
    configuration.load_verify_locations(authority)
    configuration.server_name = command.get("name", name)
    configuration.verify_mode = ssl.CERT_REQUIRED
    if "cert" in command:
        configuration.load_cert_chain(command["cert"], command["key"])
    quic = QuicConnection(configuration=configuration)
    if command.get("stuck"):
        # Windows never open again.
        quic._write_stream_limits = quic._write_connection_limits = lambda *_, **__: None
    _, client = await udp(lambda: Client(quic))
    client.connect(("127.0.0.1", port))
    try:
        await asyncio.wait_for(client.wait_connected(), LIMIT)
        await client.ping()
    except (ConnectionError, asyncio.TimeoutError):
        return None, {"connected": False, "closed": client.ended}
    certificate = quic.tls._peer_certificate
    return client, {"connected": True, "alpn": client.alpn, "serial": str(certificate.serial_number)}


async def attempts(port, count):
    """Begins handshakes and goes on with none; counts the answers that ask for a proof of the address (Retry)."""
    loop, sockets = asyncio.get_running_loop(), []
    for _ in range(count):
        quic = QuicConnection(configuration=QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN))
        quic.connect(("127.0.0.1", port), now=loop.time())
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        for data, addr in quic.datagrams_to_send(now=loop.time()):
            sock.sendto(data, addr)
        # The first answer of each: the next attempt comes behind it.
        first = (await asyncio.wait_for(loop.sock_recv(sock, 2048), LIMIT))[0]
        sockets.append((sock, first & 0xF0 == 0xF0))
    return {"retries": sum(retry for _, retry in sockets)}


async def obey(client, command):
    what = command["do"]
    if what == "ask":
        stream = client.begin(command)
        return await client.until(stream, command.get("until", "end"))
    if what == "open":
        stream = client._quic.get_next_available_stream_id()
        client.answers[stream] = Answer()
        client._quic.send_stream_data(stream, bytes.fromhex(command["hex"]))
        client.transmit()
        return {"stream": stream}
    if what == "begin":
        return {"stream": client.begin(command)}
    if what == "await":
        return await client.until(command["stream"], command.get("until", "end"))
    if what == "many":
        streams = [client.begin(command) for _ in range(command["count"])]
        answers = [await client.until(stream, "end") for stream in streams]
        hashes = sorted({answer["sha256"] for answer in answers})
        return {"statuses": [answer["status"] for answer in answers], "hashes": hashes}
    if what == "reset":
        client._quic.reset_stream(command["stream"], 0x10C)
        client._quic.stop_stream(command["stream"], 0x10C)
        client.transmit()
        return {}
    if what == "stop":
        client._quic.stop_stream(command["stream"], 0x10C)
        client.transmit()
        return {}
    if what == "flood":
        for _ in range(command["count"]):
            stream = client.begin(command | {"ends": False})
            client._quic.reset_stream(stream, 0x10C)
            client._quic.stop_stream(stream, 0x10C)
        client.transmit()
        await asyncio.wait_for(client.ended_event.wait(), LIMIT)
        return {"closed": client.ended}
    if what == "bytes":
        client._quic.send_stream_data(command["stream"], bytes.fromhex(command["hex"]), command.get("ends", False))
        client.transmit()
        return {}
    if what == "move":
        if command.get("new_id"):
            client.change_connection_id()
        # The old socket stays open, and what comes to it is read: the server moves when it hears from the new one.
        client.old.append(client._transport)
        await udp(lambda: client)
        await client.ping()
        return {"port": client._transport.get_extra_info("sockname")[1]}
    if what == "closed":
        await asyncio.wait_for(client.ended_event.wait(), command.get("limit", LIMIT))
        return {"closed": client.ended, "goaways": client.goaways()}
    if what == "goaways":
        return {"goaways": client.goaways(), "closed": client.ended}
    if what == "close":
        client.close(0x100)
        await client.wait_closed()
        return {}
    raise ValueError(what)


async def main():
    port, authority, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    loop, client = asyncio.get_running_loop(), None
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        try:
            if command["do"] == "connect":
                client, said = await connect(port, authority, name, command)
            elif command["do"] == "attempts":
                said = await attempts(port, command["count"])
            else:
                said = await obey(client, command)
        except asyncio.TimeoutError:
            said = {"late": command}
        print(json.dumps(said), flush=True)


asyncio.run(main())
