# Identities that prove names by DNS records (ACME DNS-01): cert-manager in each cluster of each cloud, for the names of that
# cluster. Its ServiceAccount token is exchanged for a role here, so no cluster holds a key of the zone.
#
# DNS-01 and not HTTP-01: edges answer on 443 only, a name leads to several of them, and port 80 stays closed.
# A person applies this: the pipeline may not add issuers that the account trusts.
locals {
  # Records that a proof writes, as Route 53 compares them: lower case, no final dot.
  challenges = { for name, cluster in var.clusters : name => sort([for host in cluster.hosts : "_acme-challenge.${host}"]) }
}

data "aws_partition" "current" {}

resource "aws_iam_openid_connect_provider" "this" {
  for_each = var.clusters

  url            = each.value.issuer
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "this" {
  for_each = var.clusters

  name                 = "${var.name}-${each.key}"
  description          = "Proves names of ${each.key} by DNS records"
  permissions_boundary = var.permissions_boundary
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = aws_iam_openid_connect_provider.this[each.key].arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${trimprefix(each.value.issuer, "https://")}:aud" = "sts.amazonaws.com"
          "${trimprefix(each.value.issuer, "https://")}:sub" = "system:serviceaccount:${var.service_account}"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = var.clusters

  name = "prove-names"
  role = aws_iam_role.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Prove"
        Effect   = "Allow"
        Action   = "route53:ChangeResourceRecordSets"
        Resource = "arn:${data.aws_partition.current.partition}:route53:::hostedzone/${var.zone_id}"
        Condition = {
          "ForAllValues:StringEquals" = {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames" = local.challenges[each.key]
            "route53:ChangeResourceRecordSetsRecordTypes"           = ["TXT"]
          }
          # Without these a request that names no record would pass the conditions above.
          Null = {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames" = "false"
            "route53:ChangeResourceRecordSetsRecordTypes"           = "false"
          }
        }
      },
      {
        Sid      = "Look"
        Effect   = "Allow"
        Action   = "route53:ListResourceRecordSets"
        Resource = "arn:${data.aws_partition.current.partition}:route53:::hostedzone/${var.zone_id}"
      },
      {
        Sid      = "Wait"
        Effect   = "Allow"
        Action   = "route53:GetChange"
        Resource = "arn:${data.aws_partition.current.partition}:route53:::change/*"
      },
    ]
  })
}
