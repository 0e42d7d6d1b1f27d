# Where else messages can be sent from.

output "topic" {
  description = "Topic of the messages, for further subscriptions."
  value       = aws_sns_topic.this.arn
}
