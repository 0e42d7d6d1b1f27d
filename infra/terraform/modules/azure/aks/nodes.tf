# Pools of applications and edges. With node_management = "auto" Karpenter creates nodes instead, and this file creates no pool.
resource "azurerm_kubernetes_cluster_node_pool" "this" {
  for_each = var.node_management == "pools" ? var.node_pools : {}

  name                        = each.key
  kubernetes_cluster_id       = azurerm_kubernetes_cluster.this.id
  vm_size                     = each.value.vm_size
  mode                        = "User"
  auto_scaling_enabled        = true
  min_count                   = each.value.min
  max_count                   = each.value.max
  zones                       = local.zones
  vnet_subnet_id              = var.subnet_ids.nodes
  node_labels                 = each.value.labels
  host_encryption_enabled     = true
  os_disk_type                = "Ephemeral"
  os_disk_size_gb             = 128
  os_sku                      = "AzureLinux"
  max_pods                    = 110
  priority                    = each.value.spot ? "Spot" : "Regular"
  eviction_policy             = each.value.spot ? "Delete" : null
  spot_max_price              = each.value.spot ? -1 : null # the regular price is the limit
  node_taints                 = each.value.spot ? ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"] : []
  temporary_name_for_rotation = "tmp${substr(sha1(each.key), 0, 9)}"
  tags                        = var.tags

  # Azure refuses surge settings on spot pools.
  dynamic "upgrade_settings" {
    for_each = each.value.spot ? [] : [true]
    content {
      max_surge                     = "33%"
      drain_timeout_in_minutes      = 30
      node_soak_duration_in_minutes = 5
    }
  }
}
