# Checks what the cluster means: access, encryption keys, placement of pods and nodes.
mock_provider "azurerm" {}
mock_provider "azapi" {}

variables {
  name                   = "thalweg-test"
  resource_group         = { name = "thalweg-test", location = "southeastasia" }
  subnet_ids             = { nodes = "nodes", api_server = "api" }
  ranges                 = { pods = "100.100.0.0/16", services = "100.101.0.0/16" }
  admin_group_ids        = ["00000000-0000-0000-0000-000000000000"]
  encryption             = { etcd_key_id = "etcd", disk_key_id = "disks", disk_identity_id = "identity", vault_id = "vault" }
  public_ip_scope        = "group"
  log_storage_account_id = "logs"
  tags                   = { environment = "development", owner = "platform" }
}

run "private_and_without_local_accounts" {
  assert {
    condition     = azurerm_kubernetes_cluster.this.private_cluster_enabled && !azurerm_kubernetes_cluster.this.private_cluster_public_fqdn_enabled
    error_message = "The API server has no public name."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.local_account_disabled && !azurerm_kubernetes_cluster.this.run_command_enabled
    error_message = "No local account and no command channel goes around Entra."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.oidc_issuer_enabled && azurerm_kubernetes_cluster.this.workload_identity_enabled
    error_message = "Workloads have identities."
  }
  assert {
    condition     = one(azurerm_kubernetes_cluster.this.azure_active_directory_role_based_access_control).azure_rbac_enabled
    error_message = "People come from Entra."
  }
}

run "customers_keys" {
  assert {
    condition     = one(azurerm_kubernetes_cluster.this.key_management_service).key_vault_key_id == "etcd" && azurerm_disk_encryption_set.this.key_vault_key_id == "disks"
    error_message = "etcd and disks have the customer's keys."
  }
  assert {
    condition     = one(azurerm_kubernetes_cluster.this.default_node_pool).host_encryption_enabled && alltrue([for pool in azurerm_kubernetes_cluster_node_pool.this : pool.host_encryption_enabled])
    error_message = "Nodes encrypt their caches and temporary disks."
  }
}

run "overlay_with_cilium_behind_the_nat_gateway" {
  assert {
    condition = (
      one(azurerm_kubernetes_cluster.this.network_profile).network_plugin_mode == "overlay"
      && one(azurerm_kubernetes_cluster.this.network_profile).network_data_plane == "cilium"
      && one(azurerm_kubernetes_cluster.this.network_profile).network_policy == "cilium"
    )
    error_message = "Pods are in an overlay and Cilium enforces policies."
  }
  assert {
    condition     = one(azurerm_kubernetes_cluster.this.network_profile).outbound_type == "userAssignedNATGateway"
    error_message = "Egress leaves through the NAT gateway, from addresses that allow-lists name."
  }
  assert {
    condition     = one(azurerm_kubernetes_cluster.this.network_profile).dns_service_ip == "100.101.0.10"
    error_message = "DNS has the tenth address of the Services' range."
  }
}

run "three_zones_and_apart_from_the_system" {
  assert {
    condition     = length(one(azurerm_kubernetes_cluster.this.default_node_pool).zones) == 3 && length(azurerm_kubernetes_cluster_node_pool.this["apps"].zones) == 3
    error_message = "Every pool spans three zones."
  }
  assert {
    condition     = one(azurerm_kubernetes_cluster.this.default_node_pool).only_critical_addons_enabled
    error_message = "The system pool is for the system."
  }
  assert {
    condition     = length(azurerm_kubernetes_cluster.this.node_provisioning_profile) == 0 && one(azurerm_kubernetes_cluster.this.default_node_pool).auto_scaling_enabled
    error_message = "With pools the autoscaler works and Karpenter does not."
  }
  assert {
    condition     = length(azurerm_management_lock.cluster) == 1 && azurerm_management_lock.cluster[0].lock_level == "CanNotDelete"
    error_message = "The cluster is locked against deletion unless that is switched off."
  }
}

run "gateway_api_replaces_nginx" {
  assert {
    condition     = azapi_update_resource.gateway_api[0].body.properties.ingressProfile.webAppRouting.gatewayAPIImplementations.appRoutingIstio.mode == "Enabled" && output.gateway_class == "approuting-istio"
    error_message = "The class approuting-istio is installed."
  }
  assert {
    condition     = length(azurerm_kubernetes_cluster.this.web_app_routing) == 0
    error_message = "The managed nginx, which has ended, is not."
  }
}

run "logs_leave_the_cluster" {
  assert {
    condition     = contains([for log in azurerm_monitor_diagnostic_setting.this.enabled_log : log.category], "kube-audit-admin") && azurerm_monitor_diagnostic_setting.this.storage_account_id == "logs"
    error_message = "The audit log is kept outside the cluster."
  }
}

run "karpenter_instead_of_pools" {
  variables {
    node_management = "auto"
  }
  assert {
    condition     = length(azurerm_kubernetes_cluster_node_pool.this) == 0 && one(azurerm_kubernetes_cluster.this.node_provisioning_profile).mode == "Auto"
    error_message = "Karpenter brings the nodes; no pool is made beside it."
  }
  assert {
    condition     = one(azurerm_kubernetes_cluster.this.default_node_pool).auto_scaling_enabled == false && one(azurerm_kubernetes_cluster.this.default_node_pool).node_count == 3
    error_message = "The autoscaler stands back."
  }
}

run "spot_pool_is_tainted" {
  variables {
    node_pools = { batch = { spot = true, min = 0, max = 4 } }
  }
  assert {
    condition     = azurerm_kubernetes_cluster_node_pool.this["batch"].priority == "Spot" && length(azurerm_kubernetes_cluster_node_pool.this["batch"].node_taints) == 1 && length(azurerm_kubernetes_cluster_node_pool.this["batch"].upgrade_settings) == 0
    error_message = "Only pods that ask for spot land there, and no surge is asked for."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Thalweg_"
  }
  expect_failures = [var.name]
}

run "refuses_missing_tags" {
  command = plan
  variables {
    tags = { environment = "development" }
  }
  expect_failures = [var.tags]
}

run "refuses_an_unchecked_kubernetes" {
  command = plan
  variables {
    kubernetes_version = "1.34"
  }
  expect_failures = [var.kubernetes_version]
}

run "refuses_pods_in_a_network_range" {
  command = plan
  variables {
    ranges = { pods = "10.244.0.0/16", services = "100.101.0.0/16" }
  }
  expect_failures = [var.ranges]
}

run "refuses_pods_and_services_in_one_range" {
  command = plan
  variables {
    ranges = { pods = "100.100.0.0/16", services = "100.100.0.0/16" }
  }
  expect_failures = [var.ranges]
}

run "refuses_an_unknown_way_to_manage_nodes" {
  command = plan
  variables {
    node_management = "karpenter"
  }
  expect_failures = [var.node_management]
}

run "refuses_fewer_system_nodes_than_zones" {
  command = plan
  variables {
    system_pool = { min = 1 }
  }
  expect_failures = [var.system_pool]
}

run "refuses_a_pool_name_azure_does_not_take" {
  command = plan
  variables {
    node_pools = { "apps-1" = {} }
  }
  expect_failures = [var.node_pools]
}

run "refuses_fewer_nodes_than_zones" {
  command = plan
  variables {
    node_pools = { apps = { min = 2 } }
  }
  expect_failures = [var.node_pools]
}

run "refuses_an_empty_list_of_administrators" {
  command = plan
  variables {
    admin_group_ids = []
  }
  expect_failures = [var.admin_group_ids]
}
