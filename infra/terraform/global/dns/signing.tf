# DNSSEC and the log of queries. After the first apply hand the output `ds_record` to the registrar; until then
# resolvers do not verify the signatures.
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

resource "aws_kms_key" "signing" {
  description              = "Signs the zone ${var.zone}"
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = 30
  # Keys that sign cannot rotate by themselves: a new one is made beside it, published, and then this one goes.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Sign"
        Effect    = "Allow"
        Principal = { Service = "dnssec-route53.amazonaws.com" }
        Action    = ["kms:DescribeKey", "kms:GetPublicKey", "kms:Sign"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
      },
      {
        Sid       = "Grant"
        Effect    = "Allow"
        Principal = { Service = "dnssec-route53.amazonaws.com" }
        Action    = "kms:CreateGrant"
        Resource  = "*"
        Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
      },
    ]
  })
}

resource "aws_route53_key_signing_key" "this" {
  name                       = "thalweg"
  hosted_zone_id             = aws_route53_zone.this.id
  key_management_service_arn = aws_kms_key.signing.arn
  status                     = "ACTIVE"
}

resource "aws_route53_hosted_zone_dnssec" "this" {
  hosted_zone_id = aws_route53_key_signing_key.this.hosted_zone_id
  signing_status = "SIGNING"
}

module "log_key" {
  source = "../../modules/aws/key"

  name        = "thalweg-dns-${replace(var.zone, ".", "-")}"
  description = "Log of queries for ${var.zone}"
  services    = ["logs.us-east-1.amazonaws.com"]
}

resource "aws_cloudwatch_log_group" "queries" {
  name              = "/aws/route53/${var.zone}"
  retention_in_days = var.query_log_days
  kms_key_id        = module.log_key.arn
}

resource "aws_cloudwatch_log_resource_policy" "queries" {
  policy_name = "thalweg-dns-${replace(var.zone, ".", "-")}"
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "route53.amazonaws.com" }
      Action    = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource  = "${aws_cloudwatch_log_group.queries.arn}:*"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_route53_query_log" "this" {
  zone_id                  = aws_route53_zone.this.zone_id
  cloudwatch_log_group_arn = aws_cloudwatch_log_group.queries.arn
  depends_on               = [aws_cloudwatch_log_resource_policy.queries]
}
