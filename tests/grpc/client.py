"""A gRPC client for the scenarios: client.py ADDRESS kinds | client.py ADDRESS load THREADS CALLS."""

import json
import queue
import sys
import threading
import time

import grpc


def kinds(channel):
    unary = channel.unary_unary("/test.Echo/Unary")
    assert unary(b"hello", timeout=10) == b"hello"
    print("unary ok")
    answers = channel.unary_stream("/test.Echo/ServerStream")(b"1000", timeout=10)
    assert [int(answer) for answer in answers] == list(range(1000))
    print("server_stream ok")
    pieces = (b"x" * 1000 for _ in range(1000))
    assert channel.stream_unary("/test.Echo/ClientStream")(pieces, timeout=10) == b"1000000"
    print("client_stream ok")
    # Each message waits for the answer to the one before: nothing may be held back on the way.
    outgoing = queue.Queue()
    answers = channel.stream_stream("/test.Echo/Bidi")(iter(outgoing.get, None), timeout=20)
    for nth in range(100):
        outgoing.put(b"%d" % nth)
        assert next(answers) == b"%d" % nth
    outgoing.put(None)
    assert list(answers) == []
    print("bidi ok")
    big = b"x" * 3_000_000
    assert unary(big, timeout=20) == big
    print("big ok")
    try:
        unary(b"missing", timeout=10)
        raise AssertionError("an answer")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND and error.details() == "no such thing", error
    print("not_found ok")
    _, call = unary.with_call(b"x", timeout=10, metadata=(("call-id", "one"),))
    assert dict(call.initial_metadata())["x-server"] == "a"
    assert dict(call.trailing_metadata())["x-trailing"] == "yes"
    print("metadata ok")
    slow = unary.future(b"slow", timeout=20)
    time.sleep(0.2)
    slow.cancel()
    assert slow.cancelled() and unary(b"after", timeout=10) == b"after"
    print("cancel ok")
    try:
        unary(b"slow", timeout=0.5)
        raise AssertionError("an answer")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    print("deadline ok")


def load(channel, threads, calls):
    failed = []
    unary = channel.unary_unary("/test.Echo/Unary")

    def run(thread):
        for nth in range(calls):
            name = f"{thread}-{nth}"
            try:
                unary(b"x", timeout=10, metadata=(("call-id", name),))
            except grpc.RpcError as error:
                failed.append([name, str(error.code()), error.details()])
            time.sleep(0.002)

    running = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    print(json.dumps({"calls": threads * calls, "failed": failed}))


if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1]) as channel:
        if sys.argv[2] == "kinds":
            kinds(channel)
        else:
            load(channel, int(sys.argv[3]), int(sys.argv[4]))
