# All logs of the control plane that somebody reads after an incident. kube-audit-admin is kube-audit without reads:
# the reads are nine tenths of its size.
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
