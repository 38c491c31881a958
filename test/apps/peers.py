#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The other end of a test: a native HTTP server inside the driver, and small clients as programs.

Used by drivers, which start HostHttp in a thread of their own: it always runs on the host. The
clients below run as `peers.py fetch URL...` on either side. Nothing here may import from a driver.
"""

import hashlib
import http.server
import json
import socket
import socketserver
import sys
import threading
import urllib.request

from harness import content, sha256


class Handler(http.server.BaseHTTPRequestHandler):
    """/bytes/N: content(N); /hold: answers when released; PUT and POST: the body's checksum."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        self.server.peers.add(self.client_address[0])
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Peer", self.client_address[0])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/bytes/"):
            self.answer(content(int(self.path.rsplit("/", 1)[1])))
        elif self.path == "/hold":
            self.server.held.set()
            self.server.release.wait(30)
            self.answer(b"held")
        else:
            self.answer(b"no such thing", 404)

    do_HEAD = do_GET

    def chunks(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            left = int(self.headers.get("Content-Length", 0))
            while left:
                data = self.rfile.read(min(left, 65536))
                if not data:
                    return
                left -= len(data)
                yield data
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def do_POST(self):
        digest, length = hashlib.sha256(), 0
        for data in self.chunks():
            digest.update(data)
            length += len(data)
        self.answer(json.dumps({"sha256": digest.hexdigest(), "length": length}).encode())

    do_PUT = do_POST


class HostHttp(http.server.ThreadingHTTPServer):
    """A native server in a thread of the driver. peers collects the addresses of its clients."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, port=0):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), Handler)
        self.peers = set()
        self.held, self.release = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def server_bind(self):
        # Not HTTPServer's method, which asks the machine's resolver for the name of the address.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        pass  # a client that goes away in mid-request is part of some tests

    @property
    def port(self):
        return self.server_address[1]

    def url(self, path, host=None):
        host = host or self.server_address[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{path}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()
        self.shutdown()
        self.server_close()


def fetch(url, timeout_s=20):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=timeout_s) as reply:
        body = reply.read()
        return {"status": reply.status, "length": len(body), "sha256": sha256(body),
                "peer": reply.headers.get("X-Peer")}


def fetch_all(urls):
    print(json.dumps([fetch(url) for url in urls]))


if __name__ == "__main__":
    {"fetch": fetch_all}[sys.argv[1]](sys.argv[2:])
