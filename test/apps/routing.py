# SPDX-License-Identifier: Apache-2.0
"""BIRD as a router, for the drivers of routing daemons. Used by bird.py and frr.py.

Addresses are of the documentation's networks (RFC 5737). A BIRD on the host must never have a
kernel protocol: it would put its routes into the host's tables.
"""

import json

from harness import wait_for

CONFIG = """
router id {own};
log stderr all;
protocol device {{ scan time 1; }}
{kernel}
protocol static bgp_routes {{ ipv4; route {static} blackhole; }}
protocol static ospf_routes {{ ipv4 {{ preference 10; }}; route {ospf_static} blackhole; }}
protocol ospf v2 ospf1 {{
  ipv4 {{ import all; export where proto = "ospf_routes"; }};
  area 0 {{
    interface "{interface}" {{
      type ptp; hello 1; dead count 4;
      {authentication}
    }};
  }};
}}
protocol bgp bgp1 {{
  local {own} as {own_as};
  neighbor {peer} as {peer_as};
  password "another-secret";
  connect retry time 1; connect delay time 1; error wait time 1, 2; hold time 9;
  ipv4 {{ import all; export where proto = "bgp_routes"; next hop self; }};
}}
"""

AUTHENTICATION = "authentication cryptographic; password \"a secret\" { algorithm hmac sha256; };"


class Bird:
    def __init__(self, t, name, start, execute, own, peer, interface, own_as, peer_as, static, ospf_static,
                 kernel=False, ospf_password=True):
        self.name, self.execute, self.control = name, execute, t.scratch / f"{name}.ctl"
        config = t.scratch / f"{name}.conf"
        config.write_text(CONFIG.format(
            own=own, peer=peer, interface=interface, own_as=own_as, peer_as=peer_as, static=static,
            ospf_static=ospf_static, authentication=AUTHENTICATION if ospf_password else "",
            kernel="protocol kernel { ipv4 { import none; export where proto != \"bgp_routes\" && "
                   "proto != \"ospf_routes\"; }; }" if kernel else ""))
        self.process = start("bird", "-f", "-c", config, "-s", self.control)
        wait_for(f"BIRD {name}'s socket", self.control.exists)

    def ask(self, *words):
        """BIRD's answer. The exit status says only whether there is such a route."""
        return self.execute("birdc", "-s", self.control, "-r", *words).text

    def wait_established(self):
        wait_for(f"BIRD {self.name} to have its neighbours", lambda: "Established" in self.ask("show", "protocols")
                 and "Full/PtP" in self.ask("show", "ospf", "neighbors"), 40, 0.2)

    def wait_route(self, route, protocol):
        wait_for(f"{route} from {protocol} in BIRD {self.name}",
                 lambda: f"[{protocol} " in self.ask("show", "route", "for", route), 20, 0.2)

    def wait_gone(self, route):
        wait_for(f"{route} to be gone from BIRD {self.name}",
                 lambda: "Network not found" in self.ask("show", "route", "for", route), 20, 0.2)
