# The cluster's identities. They are user-assigned because their rights must exist before the cluster: a system-assigned
# identity is created with the cluster, too late to join subnets or read keys.
resource "azurerm_user_assigned_identity" "control_plane" {
  name                = "${var.name}-control-plane"
  resource_group_name = local.group
  location            = local.location
  tags                = var.tags
}

resource "azurerm_user_assigned_identity" "kubelet" {
  name                = "${var.name}-kubelet"
  resource_group_name = local.group
  location            = local.location
  tags                = var.tags
}

locals {
  control_plane_roles = {
    nodes      = { scope = var.subnet_ids.nodes, role = "Network Contributor" }
    api_server = { scope = var.subnet_ids.api_server, role = "Network Contributor" }
    addresses  = { scope = var.public_ip_scope, role = "Network Contributor" }
    etcd_key   = { scope = var.encryption.vault_id, role = "Key Vault Crypto User" }
    # A private vault is reached over a private link that the cluster makes itself.
    vault_link = { scope = var.encryption.vault_id, role = "Key Vault Contributor" }
  }
}

resource "azurerm_role_assignment" "control_plane" {
  for_each = local.control_plane_roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.control_plane.principal_id
  principal_type       = "ServicePrincipal"
}

# The control plane hands the kubelet's identity to nodes.
resource "azurerm_role_assignment" "kubelet_operator" {
  scope                = azurerm_user_assigned_identity.kubelet.id
  role_definition_name = "Managed Identity Operator"
  principal_id         = azurerm_user_assigned_identity.control_plane.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_disk_encryption_set" "this" {
  name                = var.name
  resource_group_name = local.group
  location            = local.location
  key_vault_key_id    = var.encryption.disk_key_id
  # Encrypted once by Azure's key and once by this one.
  encryption_type           = "EncryptionAtRestWithPlatformAndCustomerKeys"
  auto_key_rotation_enabled = true
  tags                      = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [var.encryption.disk_identity_id]
  }
}

# Disks of volumes: the control plane must read the set that encrypts them.
resource "azurerm_role_assignment" "disk_set" {
  scope                = azurerm_disk_encryption_set.this.id
  role_definition_name = "Reader"
  principal_id         = azurerm_user_assigned_identity.control_plane.principal_id
  principal_type       = "ServicePrincipal"
}
