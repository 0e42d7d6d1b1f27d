# Where the evidence is.

output "bucket" {
  description = "Bucket of the trail."
  value       = aws_s3_bucket.trail.id
}

output "topic" {
  description = "Topic of the alarms."
  value       = aws_sns_topic.alarms.arn
}
