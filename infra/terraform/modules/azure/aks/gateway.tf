# Gateway API with the class approuting-istio: Azure runs an Istio without sidecars and makes a balancer per Gateway.
# azurerm has no argument for it yet, so these two fields go to Azure's own API; azapi leaves all others alone.
resource "azapi_update_resource" "gateway_api" {
  count = var.gateway_api ? 1 : 0

  type        = "Microsoft.ContainerService/managedClusters@2026-04-01"
  resource_id = azurerm_kubernetes_cluster.this.id
  body = {
    properties = {
      ingressProfile = {
        gatewayAPI    = { installation = "Standard" }
        webAppRouting = { gatewayAPIImplementations = { appRoutingIstio = { mode = "Enabled" } } }
      }
    }
  }
}
