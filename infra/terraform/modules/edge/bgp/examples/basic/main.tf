# One machine in Singapore with two upstream routers, for both families.
module "edge" {
  source    = "../.."
  name      = "edge-sin-1"
  router_id = "192.0.2.10"
  as_number = 64500
  anycast = {
    ipv4 = { prefix = "198.51.100.0/24", address = "198.51.100.80" }
    ipv6 = { prefix = "2001:db8:100::/48", address = "2001:db8:100::80" }
  }
  neighbors = {
    upstream4 = { address = "192.0.2.1", source = "192.0.2.10", as_number = 64496, communities = ["64496:100"], bfd = true }
    upstream6 = { address = "2001:db8::1", source = "2001:db8::10", as_number = 64496, multihop = 2 }
  }
  package     = { url = "https://packages.example.com/thalweg_1.0.0_amd64.deb", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  admin_cidrs = ["203.0.113.0/29"]

  config = <<-EOT
    version = 1
    [edge]
    name = "edge-sin-1"
    region = "sin"
    drain_delay = "5s"
    [[listener]]
    name = "secure"
    bind = "198.51.100.80:443"
    [pool.azure-southeastasia]
    cloud = "azure"
    region = "southeastasia"
    host = "api.southeastasia.azure.example.com"
    endpoints = [{ address = "api.southeastasia.azure.example.com:443", tls = {} }]
    [route.all]
    policy = "latency"
    pools = [{ pool = "azure-southeastasia" }]
  EOT
}
