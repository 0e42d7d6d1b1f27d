"""Writes Thalweg's big configs, from the small one: many pools of many endpoints, for the scenarios `reload` and
`endpoints`. Pure text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """`spread`: one route over all pools. Otherwise one route over three pools, and one for each four of them."""

    pools: int
    endpoints: int  # per pool
    spread: bool
    probes: bool


RELOAD = Shape(pools=1000, endpoints=10, spread=False, probes=True)
# No probes: what 10,000 of them cost is not a cost of a request. A long keep-alive: on a slow machine an endpoint may be
# asked more seldom than every 4 s (the default), and a connect is not what is compared either.
ENDPOINTS = Shape(pools=100, endpoints=100, spread=True, probes=False)
POOLS_PER_ROUTE = 4


def big(small: str, shape: Shape, ports: list[int], weight: int = 1) -> str:
    """The small config with its pools and routes replaced; `weight` makes one text differ from the next."""
    head, _, rest = small.partition("# --- pools and routes")
    _, _, tail = rest.partition("# --- end of pools and routes ---")
    head = head.replace('interval = "1s"', 'interval = "60s"')
    blocks = [pool(number, shape, ports, weight) for number in range(shape.pools)]
    blocks.append(route("all", "/", range(shape.pools if shape.spread else 3)))
    if not shape.spread:
        for number in range(shape.pools // POOLS_PER_ROUTE):
            first = number * POOLS_PER_ROUTE
            blocks.append(route(f"r{number}", f"/r{number}", range(first, first + POOLS_PER_ROUTE)))
    # 10,000 endpoints need descriptors too: the connection limit goes back to its default.
    tail = "\n".join(line for line in tail.splitlines() if not line.startswith("max_connections"))
    return head + "\n".join(blocks) + tail + "\n"


def pool(number: int, shape: Shape, ports: list[int], weight: int) -> str:
    addresses = (address(number * shape.endpoints + place, ports) for place in range(shape.endpoints))
    endpoints = ",\n".join(
        f'  {{ address = "{one}", weight = {weight if place == 0 else 1} }}' for place, one in enumerate(addresses)
    )
    care = 'probe = "fastapi"' if shape.probes else 'keepalive = { idle = "60s" }'
    return f'[pool.p{number}]\ncloud = "aws"\nregion = "region-{number}"\n{care}\nendpoints = [\n{endpoints},\n]\n'


def address(index: int, ports: list[int]) -> str:
    """A distinct loopback address for each endpoint; the one endpoint process answers on all of them."""
    high, low = divmod(index // len(ports), 250)
    return f"127.1.{high}.{low + 1}:{ports[index % len(ports)]}"


def route(name: str, prefix: str, pools: range) -> str:
    members = ", ".join(f'{{ pool = "p{number}" }}' for number in pools)
    return f'[route.{name}]\npath_prefix = "{prefix}"\npolicy = "weighted"\npools = [{members}]\n'
