# What the chart is given.

output "annotations" {
  description = "Annotations for `ingress.annotations` of the application's chart, beside those of values-aws.yaml."
  value = {
    "alb.ingress.kubernetes.io/security-groups"                     = aws_security_group.balancer.id
    "alb.ingress.kubernetes.io/manage-backend-security-group-rules" = "false"
    "alb.ingress.kubernetes.io/wafv2-acl-arn"                       = var.web_acl
    "alb.ingress.kubernetes.io/ssl-policy"                          = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  }
}
