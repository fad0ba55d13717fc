"""
Reads a pcap file of Ethernet frames and prints a line of JSON for each: its layers, as scapy understands them, and what is
wrong with it: lengths and checksums that come out differently when scapy builds the same packet itself.

What an ICMP error quotes is only named: it may be cut, and its checksums with it. Run by test/lb/scapy.test.ts with Debian's
python3-scapy, whose code is no part of hushlb's.
"""
import json
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.fields import BitField, ByteField, ShortField
from scapy.layers.inet import IP, UDP, IPerror
from scapy.layers.inet6 import IPerror6, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import NoPayload, Packet, Padding, bind_layers
from scapy.utils import RawPcapReader

GUE_PORTS = (6080, 5555)


class GUE(Packet):
    """Variant 0; of variant 1 the first bits are those of an IP version, and nothing stands in front."""

    name = "GUE"
    fields_desc = [
        BitField("version", 0, 2),
        BitField("control", 0, 1),
        BitField("hlen", 0, 5),
        ByteField("proto", 4),
        ShortField("flags", 0),
    ]

    @classmethod
    def dispatch_hook(cls, _pkt=None, *args, **kargs):
        if _pkt and _pkt[0] >> 6 == 1:
            return IPv6 if _pkt[0] >> 4 == 6 else IP
        return cls


bind_layers(GUE, IP, proto=4)
bind_layers(GUE, IPv6, proto=41)
for port in GUE_PORTS:
    bind_layers(UDP, GUE, dport=port)


def layers_of(packet):
    layer = packet
    while not isinstance(layer, NoPayload):
        yield layer
        layer = layer.payload


def names_of(packet):
    return [type(layer).__name__ for layer in layers_of(packet) if not isinstance(layer, Padding)]


def own_layers(packet):
    """Those in front of a quoted packet."""
    for layer in layers_of(packet):
        if isinstance(layer, (IPerror, IPerror6)):
            return
        yield layer


COMPUTED = ("chksum", "cksum", "len", "plen", "ihl", "dataofs")


def nth(packet, depth):
    return packet if depth == 0 else nth(packet.payload, depth - 1)


def problems_of(data):
    problems = []
    if bytes(Ether(data)) != data:
        problems.append("all bytes: not the same when built again")
    for depth, layer in enumerate(own_layers(Ether(data))):
        for field in COMPUTED:
            value = layer.fields.get(field)
            # UDP may do without a checksum, and GRE does.
            if value is None or (field == "chksum" and value == 0 and isinstance(layer, UDP)):
                continue
            packet = Ether(data)
            # This field alone is made anew, from what the packet is otherwise.
            delattr(nth(packet, depth), field)
            expected = nth(Ether(bytes(packet)), depth).fields.get(field)
            if expected != value:
                problems.append(f"{type(layer).__name__} {field}: {value}, expected {expected}")
    return problems


for frame, _ in RawPcapReader(sys.argv[1]):
    print(json.dumps({"layers": names_of(Ether(frame)), "problems": problems_of(frame)}))
