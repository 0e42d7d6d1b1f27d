# The cluster of one region: private, without local accounts, pods in an overlay that Cilium filters.

locals {
  location = var.resource_group.location
  group    = var.resource_group.name
  zones    = ["1", "2", "3"]
}

resource "azurerm_kubernetes_cluster" "this" {
  name                = var.name
  resource_group_name = local.group
  location            = local.location
  dns_prefix          = var.name
  node_resource_group = "${var.name}-nodes"
  kubernetes_version  = var.kubernetes_version
  sku_tier            = var.paid_sla ? "Standard" : "Free"
  tags                = var.tags

  # Identity: workloads exchange their ServiceAccount's token, people log in through Entra, the admin certificate does not exist.
  oidc_issuer_enabled               = true
  workload_identity_enabled         = true
  local_account_disabled            = true
  role_based_access_control_enabled = true
  azure_policy_enabled              = true
  run_command_enabled               = false

  # The API server answers inside the virtual network only.
  private_cluster_enabled             = true
  private_cluster_public_fqdn_enabled = false
  private_dns_zone_id                 = "System"

  # Patches of the chosen minor, and node images, arrive in the windows below.
  automatic_upgrade_channel    = "patch"
  node_os_upgrade_channel      = "NodeImage"
  image_cleaner_enabled        = true
  image_cleaner_interval_hours = 48
  cost_analysis_enabled        = var.paid_sla
  disk_encryption_set_id       = azurerm_disk_encryption_set.this.id

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.control_plane.id]
  }
  kubelet_identity {
    client_id                 = azurerm_user_assigned_identity.kubelet.client_id
    object_id                 = azurerm_user_assigned_identity.kubelet.principal_id
    user_assigned_identity_id = azurerm_user_assigned_identity.kubelet.id
  }
  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    admin_group_object_ids = var.admin_group_ids
  }
  api_server_access_profile {
    virtual_network_integration_enabled = true
    subnet_id                           = var.subnet_ids.api_server
  }
  key_management_service {
    key_vault_key_id         = var.encryption.etcd_key_id
    key_vault_network_access = "Private"
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    outbound_type       = "userAssignedNATGateway"
    load_balancer_sku   = "standard"
    pod_cidr            = var.ranges.pods
    service_cidr        = var.ranges.services
    dns_service_ip      = cidrhost(var.ranges.services, 10)
  }

  default_node_pool {
    name                         = "system"
    vm_size                      = var.system_pool.vm_size
    auto_scaling_enabled         = var.node_management == "pools"
    min_count                    = var.node_management == "pools" ? var.system_pool.min : null
    max_count                    = var.node_management == "pools" ? var.system_pool.max : null
    node_count                   = var.node_management == "pools" ? null : var.system_pool.min
    zones                        = local.zones
    vnet_subnet_id               = var.subnet_ids.nodes
    only_critical_addons_enabled = true
    host_encryption_enabled      = true
    os_disk_type                 = "Ephemeral"
    os_disk_size_gb              = 64
    os_sku                       = "AzureLinux"
    max_pods                     = 110
    temporary_name_for_rotation  = "systemtmp"
    tags                         = var.tags

    upgrade_settings {
      max_surge                     = "33%"
      drain_timeout_in_minutes      = 30
      node_soak_duration_in_minutes = 5
    }
  }

  dynamic "node_provisioning_profile" {
    for_each = var.node_management == "auto" ? [true] : []
    content {
      mode = "Auto"
    }
  }

  dynamic "auto_scaler_profile" {
    for_each = var.node_management == "pools" ? [true] : []
    content {
      expander                     = "least-waste"
      balance_similar_node_groups  = true
      max_graceful_termination_sec = 600 # an edge drains its streams before its node goes
      skip_nodes_with_system_pods  = true
    }
  }

  maintenance_window_auto_upgrade {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = "Tuesday"
    start_time  = "02:00"
    utc_offset  = "+00:00"
    duration    = 6
  }
  maintenance_window_node_os {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = "Wednesday"
    start_time  = "02:00"
    utc_offset  = "+00:00"
    duration    = 6
  }

  depends_on = [azurerm_role_assignment.control_plane, azurerm_role_assignment.kubelet_operator]
}

resource "azurerm_management_lock" "cluster" {
  count = var.deletion_protection ? 1 : 0

  name       = "deletion-protection"
  scope      = azurerm_kubernetes_cluster.this.id
  lock_level = "CanNotDelete"
  notes      = "Remove this lock in a separate change before you delete the cluster."
}
