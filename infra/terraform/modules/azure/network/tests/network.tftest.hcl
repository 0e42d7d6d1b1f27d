# Checks ways in, ways out, and the key that encrypts the logs.
mock_provider "azurerm" {}

variables {
  name              = "thalweg-test"
  resource_group    = { name = "thalweg-test", location = "southeastasia" }
  address_space     = "10.230.0.0/16"
  pod_cidr          = "100.100.0.0/16"
  edge_addresses    = ["192.0.2.10"]
  edge_egress_cidrs = ["192.0.2.64/30", "198.51.100.0/30"]
  log_storage       = { name = "thalwegtestlogs", key_vault_key_id = "key", identity_id = "identity" }
  tags              = { environment = "development", owner = "platform" }
}

run "closed_except_for_clients_of_edges" {
  assert {
    condition = alltrue([
      for rule in azurerm_network_security_rule.allow :
      rule.destination_port_range == "443" && rule.destination_address_prefix == "192.0.2.10"
      if contains(["Internet", "*", "0.0.0.0/0"], coalesce(rule.source_address_prefix, "-"))
    ])
    error_message = "Only port 443 of the edges is open to the Internet."
  }
  assert {
    condition     = !anytrue([for rule in azurerm_network_security_rule.allow : rule.protocol == "Udp"])
    error_message = "UDP is open although no listener has h3."
  }
  assert {
    condition = alltrue([
      for key in keys(local.subnets) : azurerm_network_security_rule.deny[key].priority == 4096 && azurerm_network_security_rule.deny[key].access == "Deny"
    ])
    error_message = "Every subnet ends with a denial."
  }
  assert {
    condition     = toset(keys(azurerm_subnet_network_security_group_association.this)) == toset(keys(azurerm_subnet.this))
    error_message = "Every subnet has its rules."
  }
  assert {
    condition     = !anytrue([for key in keys(azurerm_network_security_rule.allow) : strcontains(key, "origin")])
    error_message = "Without a public origin no rule lets the edges in."
  }
}

run "http3_is_udp_443_of_the_edges" {
  variables {
    http3 = true
  }
  assert {
    condition = [
      for rule in azurerm_network_security_rule.allow : [rule.name, rule.destination_port_range, rule.destination_address_prefix]
      if rule.protocol == "Udp"
    ] == [["clients-to-edges-quic", "443", "192.0.2.10"]]
    error_message = "UDP 443 of the edges is open, and no other UDP."
  }
}

run "leaves_through_fixed_addresses_only" {
  assert {
    condition     = alltrue([for subnet in azurerm_subnet.this : subnet.default_outbound_access_enabled == false])
    error_message = "No subnet has Azure's implicit way out."
  }
  assert {
    condition     = azurerm_subnet_nat_gateway_association.nodes.subnet_id == azurerm_subnet.this["nodes"].id
    error_message = "Nodes leave through the NAT gateway."
  }
  assert {
    condition     = azurerm_nat_gateway.this.sku_name == "StandardV2" && azurerm_nat_gateway.this.zones == null && azurerm_public_ip_prefix.egress.sku == "StandardV2"
    error_message = "The NAT gateway survives the loss of a zone."
  }
}

run "logs_have_the_customers_key_and_no_open_door" {
  assert {
    condition     = azurerm_storage_account.logs.customer_managed_key[0].key_vault_key_id == "key"
    error_message = "The account is encrypted with the customer's key."
  }
  assert {
    condition     = one(azurerm_storage_account.logs.network_rules).default_action == "Deny"
    error_message = "The account is closed to networks."
  }
  assert {
    condition     = azurerm_network_watcher_flow_log.this.target_resource_id == azurerm_virtual_network.this.id
    error_message = "Flows of the whole network are logged."
  }
  assert {
    condition     = azurerm_network_watcher_flow_log.this.network_watcher_name == "NetworkWatcher_southeastasia"
    error_message = "Azure's own watcher of the region is the default."
  }
}

run "origin_is_open_to_edges_only" {
  variables {
    origin_addresses = ["192.0.2.20"]
  }
  assert {
    condition = (
      azurerm_network_security_rule.allow["nodes-edges-to-origin"].source_address_prefixes == toset(["192.0.2.64/30", "198.51.100.0/30", azurerm_public_ip_prefix.egress.ip_prefix])
      && azurerm_network_security_rule.allow["nodes-edges-to-origin"].destination_address_prefix == "192.0.2.20"
    )
    error_message = "The origin takes the edges' egress ranges and nothing else."
  }
}

run "subnets_do_not_overlap" {
  command = plan
  assert {
    condition     = output.subnet_cidrs == { nodes = "10.230.0.0/20", api_server = "10.230.16.0/24", postgresql = "10.230.17.0/24", private_endpoints = "10.230.18.0/24" }
    error_message = "The subnets are cut from the range without overlap."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Thalweg_"
  }
  expect_failures = [var.name]
}

run "refuses_a_range_outside_the_plan" {
  command = plan
  variables {
    address_space = "192.168.0.0/16"
  }
  expect_failures = [var.address_space]
}

run "refuses_pods_in_a_network_range" {
  command = plan
  variables {
    pod_cidr = "10.244.0.0/16"
  }
  expect_failures = [var.pod_cidr]
}

run "refuses_no_edges" {
  command = plan
  variables {
    edge_addresses = []
  }
  expect_failures = [var.edge_addresses]
}

run "refuses_an_origin_open_to_all" {
  command = plan
  variables {
    edge_egress_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.edge_egress_cidrs]
}

run "refuses_too_many_egress_addresses" {
  command = plan
  variables {
    egress_prefix_length = 27
  }
  expect_failures = [var.egress_prefix_length]
}

run "refuses_a_bad_account_name" {
  command = plan
  variables {
    log_storage = { name = "Logs-1", key_vault_key_id = "key", identity_id = "identity" }
  }
  expect_failures = [var.log_storage]
}

run "refuses_logs_that_vanish_early" {
  command = plan
  variables {
    log_storage = { name = "thalwegtestlogs", key_vault_key_id = "key", identity_id = "identity", retention_in_days = 7 }
  }
  expect_failures = [var.log_storage]
}

run "refuses_missing_tags" {
  command = plan
  variables {
    tags = { environment = "development" }
  }
  expect_failures = [var.tags]
}
