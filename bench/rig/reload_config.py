"""Writes the big config of the reload scenario: 1,000 pools of 10 endpoints, each pool in a route. Pure text."""

from __future__ import annotations

POOLS = 1000
ENDPOINTS = 10
POOLS_PER_ROUTE = 4


def big(small: str, ports: list[int], weight: int) -> str:
    """The small config with its pools and routes replaced; `weight` makes one text differ from the next."""
    head, _, rest = small.partition("# --- pools and routes")
    _, _, tail = rest.partition("# --- end of pools and routes ---")
    head = head.replace('interval = "1s"', 'interval = "60s"')
    pools = [pool(number, ports, weight) for number in range(POOLS)]
    routes = [route("all", "/", range(3))]
    for number in range(POOLS // POOLS_PER_ROUTE):
        first = number * POOLS_PER_ROUTE
        routes.append(route(f"r{number}", f"/r{number}", range(first, first + POOLS_PER_ROUTE)))
    # Probes to 10,000 endpoints need descriptors too: the connection limit goes back to its default.
    tail = "\n".join(line for line in tail.splitlines() if not line.startswith("max_connections"))
    return head + "\n".join(pools + routes) + tail + "\n"


def pool(number: int, ports: list[int], weight: int) -> str:
    addresses = (address(number * ENDPOINTS + place, ports) for place in range(ENDPOINTS))
    endpoints = ",\n".join(
        f'  {{ address = "{one}", weight = {weight if place == 0 else 1} }}' for place, one in enumerate(addresses)
    )
    return (
        f'[pool.p{number}]\ncloud = "aws"\nregion = "region-{number}"\nprobe = "fastapi"\nendpoints = [\n{endpoints},\n]\n'
    )


def address(index: int, ports: list[int]) -> str:
    """A distinct loopback address for each endpoint; the one endpoint process answers on all of them."""
    high, low = divmod(index // len(ports), 250)
    return f"127.1.{high}.{low + 1}:{ports[index % len(ports)]}"


def route(name: str, prefix: str, pools: range) -> str:
    members = ", ".join(f'{{ pool = "p{number}" }}' for number in pools)
    return f'[route.{name}]\npath_prefix = "{prefix}"\npolicy = "weighted"\npools = [{members}]\n'
