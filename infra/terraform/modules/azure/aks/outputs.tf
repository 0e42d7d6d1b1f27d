# Values for identities, charts and operators.
output "id" {
  description = "The cluster."
  value       = azurerm_kubernetes_cluster.this.id
}

output "oidc_issuer_url" {
  description = "Issuer of ServiceAccount tokens: module azure/identity trusts it."
  value       = azurerm_kubernetes_cluster.this.oidc_issuer_url
}

output "kubelet_principal_id" {
  description = "Identity that pulls images: a value for `pullers` of module azure/acr."
  value       = azurerm_user_assigned_identity.kubelet.principal_id
}

output "credentials_command" {
  description = "Writes a kubeconfig that asks Entra at each use; run it inside the virtual network."
  value       = "az aks get-credentials --resource-group ${local.group} --name ${azurerm_kubernetes_cluster.this.name} && kubelogin convert-kubeconfig -l azurecli"
}

output "gateway_class" {
  description = "Gateway class of the application's balancer; null where Gateway API is off."
  value       = var.gateway_api ? "approuting-istio" : null
}
