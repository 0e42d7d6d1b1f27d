# What the balancer is given.

output "arn" {
  description = "The web ACL, for `modules/aws/origin`."
  value       = aws_wafv2_web_acl.this.arn
}
