# One address over three clouds. A cloud's anycast reaches that cloud only, and a prefix that you bring (BYOIP) is announced
# by one cloud at a time, so machines that speak BGP for your own autonomous system must announce the address. Rent them from a
# provider that offers BGP sessions, one or more per region; they stand in front of the regions of all clouds.
#
# This module renders the cloud-init of such a machine (Debian 12 or newer): the edge, BIRD 2 that announces the prefix, a
# follower that lets BIRD announce only while the edge's /readyz returns 200, and the firewall.
#
# - BIRD starts with the prefix withheld, and withdraws it when the follower ends or hangs.
# - The edge's drain_delay must be longer than fall x (interval + timeout): the route is withdrawn while the edge still serves.
# - A new announcement moves flows of the other edges, so the follower waits for announce_after_s of uninterrupted readiness.
# - A session's password is read from a file on the machine. User data and state hold no password.
# - The machine's own address is the source of its requests to the regions: add it to edge_egress_cidrs of all places.
#
# Ask the provider for the sessions and their limits. The prefix needs an IRR entry and a ROA for your AS.
locals {
  files = "${path.module}/files"

  families = merge(
    { ipv4 = merge(var.anycast.ipv4, { protocol = "anycast4", length = 32 }) },
    var.anycast.ipv6 == null ? {} : { ipv6 = merge(var.anycast.ipv6, { protocol = "anycast6", length = 128 }) },
  )
  protocols = join(" ", [for family in values(local.families) : family.protocol])

  bird = templatefile("${local.files}/bird.conf.tftpl", {
    name      = var.name
    router_id = var.router_id
    as_number = var.as_number
    families  = local.families
    neighbors = {
      for name, of in var.neighbors : name => merge(of, {
        family      = strcontains(of.address, ":") ? "ipv6" : "ipv4"
        communities = [for one in of.communities : replace(one, ":", ", ")]
      })
    }
  })

  firewall = templatefile("${local.files}/nftables.conf.tftpl", {
    families    = local.families
    admin_cidrs = var.admin_cidrs
    http3       = var.http3
    neighbors = {
      for family in ["ipv4", "ipv6"] : family => [for of in values(var.neighbors) : of.address if strcontains(of.address, ":") == (family == "ipv6")]
    }
  })

  units = {
    "thalweg-announce.service" = templatefile("${local.files}/thalweg-announce.service.tftpl", { follow = var.follow, protocols = local.protocols })
    "anycast-address.service"  = templatefile("${local.files}/anycast-address.service.tftpl", { families = local.families })
  }

  written = merge(
    {
      "/etc/bird/bird.conf"                = { content = local.bird, permissions = "0640", owner = "root:bird" }
      "/etc/nftables.conf"                 = { content = local.firewall, permissions = "0644", owner = "root:root" }
      "/etc/thalweg/thalweg.toml"          = { content = var.config, permissions = "0644", owner = "root:root" }
      "/usr/local/lib/thalweg-announce.py" = { content = file("${local.files}/announce.py"), permissions = "0755", owner = "root:root" }
    },
    { for unit, content in local.units : "/etc/systemd/system/${unit}" => { content = content, permissions = "0644", owner = "root:root" } },
  )

  cloud_config = {
    hostname        = var.name
    package_update  = true
    package_upgrade = true
    packages        = ["bird2", "nftables", "curl", "ca-certificates", "unattended-upgrades"]
    disable_root    = true
    ssh_pwauth      = false
    # Deferred: the group bird comes with its package.
    write_files = [for path, of in local.written : merge(of, { path = path, defer = true })]
    # The first step that fails stops the script, so a machine without a running edge announces nothing.
    runcmd = [[
      "sh", "-euc", join("\n", [
        "systemctl enable --now nftables",
        "curl --fail --silent --show-error --location --retry 5 --output /run/thalweg.deb '${var.package.url}'",
        "echo '${var.package.sha256}  /run/thalweg.deb' | sha256sum --check",
        "DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -o Dpkg::Options::=--force-confold /run/thalweg.deb",
        "thalweg check --config /etc/thalweg/thalweg.toml",
        "bird -p -c /etc/bird/bird.conf",
        "systemctl daemon-reload",
        "systemctl enable --now anycast-address thalweg",
        "systemctl enable bird thalweg-announce",
        "systemctl restart bird",
        "systemctl start thalweg-announce",
      ]),
    ]]
  }
}
