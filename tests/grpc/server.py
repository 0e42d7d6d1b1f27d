"""A gRPC server for the scenarios: server.py PORT NAME LOG. Each call's id goes into LOG before its answer."""

import sys
import time
from concurrent import futures

import grpc

PORT, NAME, LOG = sys.argv[1:]
log = open(LOG, "a", buffering=1)


def note(context):
    for key, value in context.invocation_metadata():
        if key == "call-id":
            log.write(value + "\n")
    context.send_initial_metadata((("x-server", NAME),))
    context.set_trailing_metadata((("x-trailing", "yes"),))


def unary(request, context):
    note(context)
    if request == b"missing":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
    if request == b"slow":
        time.sleep(30)
    return request


def server_stream(request, context):
    note(context)
    for nth in range(int(request)):
        yield b"%d" % nth


def client_stream(requests, context):
    note(context)
    return b"%d" % sum(len(request) for request in requests)


def bidi(requests, context):
    note(context)
    for request in requests:
        yield request


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", METHODS),))
if server.add_insecure_port(f"127.0.0.1:{PORT}") == 0:
    sys.exit("the port is taken")
server.start()
server.wait_for_termination()
