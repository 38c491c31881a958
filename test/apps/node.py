#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""node's http server and client under mino, with keep-alive and without.

Run by ctest as apps.node; see harness.py for the arguments. node makes its system calls from many
threads and generates code at run time, so it meets the hook where simple programs do not.
"""

import concurrent.futures
import http.client
import json
import shutil
import signal

import harness
from harness import check, check_equal, content, sha256
from peers import HostHttp

REQUESTS = 200

SERVER = """
const http = require('http'), crypto = require('crypto');
const server = http.createServer((req, res) => {
  const hash = crypto.createHash('sha256');
  let length = 0;
  req.on('data', (data) => { hash.update(data); length += data.length; });
  req.on('end', () => res.end(JSON.stringify({
    url: req.url, length, sha256: hash.digest('hex'), peer: req.socket.remoteAddress })));
});
server.listen(+process.argv[2], '0.0.0.0', () => console.log('listening'));
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeAllConnections(); });
"""

CLIENT = """
const http = require('http'), crypto = require('crypto');
const [url, count, keepAlive] = [process.argv[2], +process.argv[3], process.argv[4] === 'keep'];
// false, not an Agent without keep-alive: that one still reuses its sockets for queued requests.
const agent = keepAlive ? new http.Agent({ keepAlive, maxSockets: 8 }) : false;
const result = { replies: 0, sums: {}, ports: {} };
function one() {
  return new Promise((resolve, reject) => {
    http.get(url, { agent }, (res) => {
      const hash = crypto.createHash('sha256');
      result.ports[res.socket.localPort] = 1;
      result.address = res.socket.localAddress;
      res.on('data', (data) => hash.update(data));
      res.on('end', () => { result.replies += 1; result.sums[hash.digest('hex')] = 1; resolve(); });
    }).on('error', reject);
  });
}
let left = count;
async function worker() { while (left-- > 0) await one(); }
Promise.all(Array.from({ length: 8 }, worker)).then(() => {
  if (agent) agent.destroy();
  result.sums = Object.keys(result.sums);
  result.ports = Object.keys(result.ports).length;
  console.log(JSON.stringify(result));
}).catch((error) => { console.error(String(error)); process.exit(1); });
"""


def requests_on_one_connection(t, port, count):
    connection = http.client.HTTPConnection(t.device_address(), port, timeout=20)
    for number in range(count):
        body = content(number * 37 % 20_000)
        connection.request("POST", f"/{number}", body)
        reply = json.loads(connection.getresponse().read())
        check_equal(reply, {"url": f"/{number}", "length": len(body), "sha256": sha256(body),
                            "peer": t.gateway_address()}, f"reply {number}")
    connection.close()


def requests_on_new_connections(t, port, count):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: requests_on_one_connection(t, port, 1), range(count)))


def node_client(t, node, url, keep, want, peer=None):
    script = t.scratch / "client.js"
    script.write_text(CLIENT)
    what = f"node client under mino, {url}, {'keep-alive' if keep else 'a connection each'}"
    got = t.offloaded(node, script, url, REQUESTS, "keep" if keep else "close", timeout_s=60).json()
    check_equal((got["replies"], got["sums"]), (REQUESTS, [want]), what)
    if peer:
        check_equal(got["address"], peer, f"{what}: local address")
    check(got["ports"] <= 8 if keep else got["ports"] >= REQUESTS // 2,
          f"{what}: {got['ports']} local ports")


def main(t):
    node = shutil.which("node", path=t.env["PATH"])
    port, script = t.port(), t.scratch / "server.js"
    script.write_text(SERVER)
    server = t.run_offloaded(node, script, port)
    t.wait_on_device(port)
    server.wait_log("listening")
    requests_on_one_connection(t, port, REQUESTS)
    requests_on_new_connections(t, port, REQUESTS)
    body = content(5_000_000)
    got = t.host("curl", "-sSf", "--data-binary", "@-", f"http://{t.device_address()}:{port}/big",
                 stdin=body).json()
    check_equal((got["length"], got["sha256"]), (len(body), sha256(body)), "POST of 5 MB")

    with HostHttp(t.gateway_address()) as native:
        for keep in (True, False):
            node_client(t, node, native.url("/bytes/70000"), keep, sha256(content(70000)),
                        t.device_address())
            reply = json.dumps({"url": "/x", "length": 0, "sha256": sha256(b""),
                                "peer": "127.0.0.1"}, separators=(",", ":")).encode()
            node_client(t, node, f"http://127.0.0.1:{port}/x", keep, sha256(reply), "127.0.0.1")
    check_equal(server.stop(signal.SIGTERM), 0, "exit status of the node server")


if __name__ == "__main__":
    harness.run(main, needs=["node", "curl"], limit_s=150)
