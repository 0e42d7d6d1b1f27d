# Values for each cluster's issuer.
output "issuers" {
  description = "solver of a ClusterIssuer, by cluster: spec.acme.solvers[0].dns01."
  value = {
    for name in keys(var.clusters) : name => {
      route53 = {
        region       = "us-east-1"
        hostedZoneID = var.zone_id
        role         = aws_iam_role.this[name].arn
        auth         = { kubernetes = { serviceAccountRef = { name = split(":", var.service_account)[1] } } }
      }
    }
  }
}
