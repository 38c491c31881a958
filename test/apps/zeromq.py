#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ZeroMQ under mino: request and reply, publish and subscribe, a pipeline, from either side.

Run by ctest as apps.zeromq; see harness.py for the arguments. The library's own threads do the
work, wake each other by eventfd and wait in epoll sets of both kinds of descriptors.
"""

import harness
from harness import PYTHON, check_equal, content, sha256, skip

SIZES = (0, 1, 100, 8191, 65536, 3_000_000)


def serve(*ports):
    """REP, PUB and PULL on the three ports; ends at a request "end"."""
    import zmq
    context = zmq.Context(2)
    reply, publish, pull = (context.socket(kind) for kind in (zmq.REP, zmq.PUB, zmq.PULL))
    for one, port in zip((reply, publish, pull), ports):
        one.bind(f"tcp://0.0.0.0:{port}")
    print("ready", flush=True)
    poller, pulled = zmq.Poller(), []
    for one in (reply, pull):
        poller.register(one, zmq.POLLIN)
    while True:
        for one, _ in poller.poll():
            message = one.recv_multipart()
            if one is pull:
                pulled.append(message[0])
            elif message == [b"pulled"]:
                reply.send(str(len(pulled)).encode())
            elif message[0] == b"publish":
                publish.send_multipart(message[1:])
                reply.send(b"")
            else:
                reply.send_multipart(message)
                if message == [b"end"]:
                    context.destroy(linger=2000)
                    return


def ask(address, first, second, third, end=None):
    import zmq
    context = zmq.Context()
    request, subscribe, push = (context.socket(kind) for kind in (zmq.REQ, zmq.SUB, zmq.PUSH))
    for one, port in zip((request, subscribe, push), (first, second, third)):
        one.RCVTIMEO = 20000
        one.connect(f"tcp://{address}:{port}")
    subscribe.subscribe(b"news")

    def called(*message):
        request.send_multipart(message)
        return request.recv_multipart()

    for size in SIZES:
        check_equal(sha256(called(b"x", content(size))[1]), sha256(content(size)), f"an echo of {size} bytes")
    before = int(called(b"pulled")[0])
    for number in range(100):
        check_equal(called(b"%d" % number), [b"%d" % number], "an echo")
        push.send(b"%d" % number)
    while int(called(b"pulled")[0]) != before + 100:
        pass
    heard = None
    subscribe.RCVTIMEO = 50
    while heard is None:  # until the subscription has arrived
        called(b"publish", b"news", content(65536))
        try:
            heard = subscribe.recv_multipart()
        except zmq.Again:
            pass
    check_equal([heard[0], sha256(heard[1])], [b"news", sha256(content(65536))], "what was published")
    print("done", flush=True)
    if end:
        called(b"end")
    context.destroy(linger=2000)


def main(t):
    # Whether it is there, not whether it works: a package that does not work is a failure.
    if t.host(PYTHON, "-c", "import importlib.util; print(importlib.util.find_spec('zmq') is None)").ok() == "True\n":
        skip("python3-zmq is not installed (test/apps/packages.txt names the packages)")
    for server, client, address in (
            (t.run_offloaded, t.host, t.device_address()), (t.start_host, t.offloaded, t.gateway_address()),
            (t.run_offloaded, t.offloaded, "127.0.0.1")):
        ports = t.port(), t.port(), t.port()
        process = server(*t.role("serve", *ports))
        process.wait_log("ready")
        check_equal(client(*t.role("ask", address, *ports), timeout_s=40).ok(), "done\n", "a client")
        check_equal(client(*t.role("ask", address, *ports, "end"), timeout_s=40).ok(), "done\n", "a second client")
        check_equal(process.wait(), 0, "exit status of the server")


if __name__ == "__main__":
    harness.run(main, needs=[], roles={"serve": serve, "ask": ask})
