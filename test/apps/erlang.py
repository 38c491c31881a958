#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Erlang under mino: two nodes that meet by epmd, messages between them, a web server in OTP.

Run by ctest as apps.erlang; see harness.py for the arguments. epmd is under mino too.
"""

import re

import harness
from harness import check_equal, content, sha256, wait_for

SERVER = """
{ok, _} = application:ensure_all_started(inets),
{ok, _} = inets:start(httpd, [{port, %(port)d}, {bind_address, {0,0,0,0}}, {server_name, "test"},
  {server_root, "%(folder)s"}, {document_root, "%(folder)s/www"}]),
register(echo, spawn(fun F() -> receive {From, X} -> From ! {self(), X}, F() end end)),
io:format("ready~n").
"""

CLIENT = """
pong = net_adm:ping('%(server)s@127.0.0.1'),
Echo = {echo, '%(server)s@127.0.0.1'},
lists:foreach(fun(Size) ->
  Sent = crypto:hash(sha256, Bytes = binary:copy(<<"0123456789abcdef">>, Size)),
  Echo ! {self(), Bytes},
  receive {_, Back} -> Sent = crypto:hash(sha256, Back) after 20000 -> halt(3) end
end, [1, 100, 4096, 65536, 500000]),
lists:foreach(fun(I) -> Echo ! {self(), I}, receive {_, I} -> ok after 20000 -> halt(4) end end, lists:seq(1, 300)),
io:format("~p~n", [rpc:call('%(server)s@127.0.0.1', erlang, nodes, [hidden]) =/= []]),
halt(0).
"""


def main(t):
    port, epmd = t.port(), t.port()
    (t.scratch / "www").mkdir()
    (t.scratch / "www" / "file.bin").write_bytes(content(1 << 20))
    env = {"ERL_EPMD_PORT": str(epmd), "HOME": str(t.scratch), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    words = {"port": port, "folder": t.scratch, "server": "one"}
    # A node would start epmd as a daemon; here it stays in the foreground, so that the test ends it.
    daemon = t.run_offloaded("epmd", "-port", epmd, env=env)
    t.wait_on_device(epmd)
    node = ["-setcookie", "biscuit", "-noshell", "-noinput", "-start_epmd", "false"]
    server = t.run_offloaded("erl", *node, "-name", "one@127.0.0.1", "-eval", SERVER % words, env=env)
    server.wait_log("ready", 30)
    t.wait_on_device(port)
    got = t.host("curl", "-sSf", "--max-time", "20", f"http://{t.device_address()}:{port}/file.bin")
    check_equal((got.status, sha256(got.out)), (0, sha256(content(1 << 20))), "a file from httpd")
    client = t.offloaded("erl", *node, "-hidden", "-name", "two@127.0.0.1", "-eval", CLIENT % words, env=env,
                         timeout_s=40)
    check_equal(client.ok(), "true\n", "the second node")

    def names():
        return re.findall("^name (.*) at port", t.offloaded("epmd", "-port", epmd, "-names", env=env).ok(), re.M)

    wait_for("epmd to know the first node alone", lambda: names() == ["one"])
    check_equal(server.stop(), 0, "exit status of the first node")
    wait_for("epmd to know no node", lambda: not names())
    daemon.kill()


if __name__ == "__main__":
    harness.run(main, needs=["erl", "epmd", "curl"])
