"""A WebSocket client over HTTP/2 (RFC 8441): PORT. One connection, many streams; a line of JSON in is a command, a line of
JSON out its result.

    {"do": "open", "path": "/echo"}        -> {"stream": 1, "status": 200, "headers": {...}, "body": "..."}
    {"do": "say", "stream": 1, "size": 9}  -> {"echo": true}       (a message of that size, and its echo)
    {"do": "text", "stream": 1}            -> {"text": "..."}
    {"do": "close", "stream": 1}           -> {"code": 1000, ...}  (says Close, waits for the other's)
    {"do": "wait", "stream": 1}            -> {"code": 1012, "ended": true, "reset": null}   (until the stream is over)
    {"do": "reset", "stream": 1}           -> {}
    {"do": "settings"}                     -> {"connect": 1}
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
from contextlib import suppress
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import wsproto.events as ws
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate

PATIENCE = 20

# The library takes every GOAWAY for the end of the connection; the streams that are open go on (RFC 9113 section 6.8).
OPEN, GOAWAY = h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY
h2.connection.H2ConnectionStateMachine._transitions[OPEN, GOAWAY] = (None, OPEN)


class Stream:
    def __init__(self) -> None:
        self.headers: dict[str, str] | None = None
        self.interim: list[str] = []
        self.body = b""
        self.ended = False
        self.finished = False
        self.reset: int | None = None
        self.websocket: Connection | None = None
        self.messages: list[bytes | str] = []
        self.partial: list[Any] = []
        self.code: int | None = None

    def over(self) -> bool:
        return self.ended or self.reset is not None

    def take(self, data: bytes) -> bytes:
        """What arrived; returns what is to be answered."""
        if self.websocket is None:
            self.body += data
            return b""
        answer = b""
        if not data:
            return answer
        self.websocket.receive_data(data)
        for event in self.websocket.events():
            if isinstance(event, ws.Message):
                self.partial.append(event.data)
                if event.message_finished:
                    self.messages.append(type(event.data)().join(self.partial))
                    self.partial = []
            elif isinstance(event, ws.CloseConnection):
                self.code = int(event.code)
                if self.websocket.state.name == "REMOTE_CLOSING":
                    answer += self.websocket.send(event.response())
            elif isinstance(event, ws.Ping):
                answer += self.websocket.send(event.response())
        return answer


class Client:
    def __init__(self, port: int, tls: bool) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="a.test")
        self.scheme = "https" if tls else "http"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.streams: dict[int, Stream] = {}
        self.goaway: int | None = None
        self.settled = False
        self.flush()
        self.until(lambda: self.settled)

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def until(self, done: Any) -> None:
        while not done():
            data = self.socket.recv(65_536)
            if not data:
                raise EOFError("the edge closed the connection")
            for event in self.h2.receive_data(data):
                self.handle(event)
            self.flush()

    def handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settled = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.InformationalResponseReceived):
            stream.interim.append(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            assert event.stream_id is not None and event.flow_controlled_length is not None
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.take(event.stream_id, event.data or b"")
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
            self.finish(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = int(event.error_code or 0)

    def take(self, number: int, data: bytes) -> None:
        stream = self.streams[number]
        answer = stream.take(data)
        # The whole life of a stream may arrive at once: this side has ended with the other.
        if answer and not stream.finished:
            self.send(number, answer)
        if stream.websocket is not None and stream.websocket.state.name == "CLOSED":
            self.finish(number)

    def finish(self, number: int) -> None:
        """Ends this side, once."""
        stream = self.streams[number]
        if not stream.finished and stream.reset is None:
            stream.finished = True
            # The edge may have closed the stream by what is read next.
            with suppress(h2.exceptions.ProtocolError):
                self.h2.end_stream(number)
            self.flush()

    def send(self, number: int, data: bytes) -> None:
        stream = self.streams[number]
        while data:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room == 0:
                self.until(lambda: stream.over() or self.h2.local_flow_control_window(number) > 0)
                if stream.over():
                    return
                continue
            self.h2.send_data(number, data[:room])
            data = data[room:]
            self.flush()

    def open(self, path: str, fields: dict[str, str], protocol: str, deflate: bool) -> dict[str, Any]:
        number = self.h2.get_next_available_stream_id()
        stream = self.streams[number] = Stream()
        extension = PerMessageDeflate()
        head = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", self.scheme), (":path", path)]
        head += [(":authority", "a.test"), ("sec-websocket-version", "13"), *fields.items()]
        if deflate:
            head.append(("sec-websocket-extensions", f"permessage-deflate; {extension.offer()}"))
        self.h2.send_headers(number, head)
        self.flush()
        self.until(lambda: stream.headers is not None or stream.over())
        headers = stream.headers or {}
        if headers.get(":status") == "200":
            extensions = []
            if "sec-websocket-extensions" in headers:
                extension.finalize(headers["sec-websocket-extensions"])
                extensions = [extension]
            stream.websocket = Connection(ConnectionType.CLIENT, extensions)
            early, stream.body = stream.body, b""
            self.take(number, early)
        else:
            self.until(stream.over)
        status = int(headers.get(":status", "0"))
        body = stream.body.decode()
        return {"stream": number, "status": status, "headers": headers, "body": body, "reset": stream.reset}

    def say(self, number: int, size: int) -> dict[str, Any]:
        stream = self.streams[number]
        assert stream.websocket is not None
        message = os.urandom(size)
        self.send(number, stream.websocket.send(ws.BytesMessage(data=message)))
        self.until(lambda: stream.messages or stream.over())
        return {"echo": bool(stream.messages) and stream.messages.pop(0) == message}

    def text(self, number: int) -> dict[str, Any]:
        stream = self.streams[number]
        self.until(lambda: stream.messages or stream.over())
        return {"text": stream.messages.pop(0)}

    def wait(self, number: int) -> dict[str, Any]:
        stream = self.streams[number]
        self.until(lambda: stream.code is not None or stream.over())
        self.until(stream.over)
        return {"code": stream.code, "ended": stream.ended, "reset": stream.reset}

    def close(self, number: int) -> dict[str, Any]:
        stream = self.streams[number]
        assert stream.websocket is not None
        self.send(number, stream.websocket.send(ws.CloseConnection(code=1000)))
        return self.wait(number)

    def run(self, command: dict[str, Any]) -> dict[str, Any]:
        number = command.get("stream", 0)
        match command["do"]:
            case "open":
                protocol = command.get("protocol", "websocket")
                return self.open(command["path"], command.get("fields", {}), protocol, command.get("deflate", False))
            case "say":
                return self.say(number, command["size"])
            case "text":
                return self.text(number)
            case "close":
                return self.close(number)
            case "wait":
                return self.wait(number)
            case "reset":
                self.h2.reset_stream(number, 8)
                self.flush()
                return {}
            case "settings":
                code = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
                return {"connect": self.h2.remote_settings.get(code)}
        raise ValueError(command)


client = Client(int(sys.argv[1]), sys.argv[2:] == ["tls"])
for line in sys.stdin:
    print(json.dumps(client.run(json.loads(line))), flush=True)
