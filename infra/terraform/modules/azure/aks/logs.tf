# The control plane's logs that an investigation needs. kube-audit-admin leaves out reads, which are most of kube-audit.
locals {
  logs = ["kube-apiserver", "kube-audit-admin", "kube-controller-manager", "kube-scheduler", "cluster-autoscaler", "cloud-controller-manager", "guard"]
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  name               = "control-plane"
  target_resource_id = azurerm_kubernetes_cluster.this.id
  storage_account_id = var.log_storage_account_id

  dynamic "enabled_log" {
    for_each = local.logs
    content {
      category = enabled_log.value
    }
  }
}
