# The function that makes a new value and puts it in the old one's place.

locals {
  rotating = length(local.rotated) > 0 ? 1 : 0
  users    = "arn:${data.aws_partition.current.partition}:elasticache:${data.aws_region.current.region}:${local.account}:user"
  change_users = length(local.caches) == 0 ? [] : [{
    Effect   = "Allow"
    Action   = ["elasticache:DescribeUsers", "elasticache:ModifyUser"]
    Resource = [for cache in local.caches : "${local.users}:${cache.user_id}"]
  }]
}

data "archive_file" "rotate" {
  type        = "zip"
  source_file = "${path.module}/rotate/rotate.py"
  output_path = "${path.root}/.terraform/rotate.zip"
}

resource "aws_cloudwatch_log_group" "rotate" {
  count = local.rotating

  name              = "/aws/lambda/${var.name}-rotate"
  retention_in_days = 365
  kms_key_id        = module.key.arn
}

resource "aws_iam_role" "rotate" {
  count = local.rotating

  name                 = "${var.name}-rotate"
  permissions_boundary = var.permissions_boundary
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "rotate" {
  count = local.rotating

  name = "rotate"
  role = aws_iam_role.rotate[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.change_users, [
      {
        Effect   = "Allow"
        Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"]
        Resource = [for name, secret in local.rotated : aws_secretsmanager_secret.this[name].arn]
      },
      { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = module.key.arn },
      { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "${aws_cloudwatch_log_group.rotate[0].arn}:*" },
      # AWS defines no resource for these actions.
      { Effect = "Allow", Action = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], Resource = "*" },
    ])
  })
}

resource "aws_lambda_function" "rotate" {
  count = local.rotating

  function_name    = "${var.name}-rotate"
  description      = "Makes new tokens and passwords in Secrets Manager"
  role             = aws_iam_role.rotate[0].arn
  runtime          = "python3.13"
  architectures    = ["arm64"]
  handler          = "rotate.handler"
  filename         = data.archive_file.rotate.output_path
  source_code_hash = filebase64sha256("${path.module}/rotate/rotate.py")
  # A cache's user is changed in a minute or two.
  timeout                        = 300
  kms_key_arn                    = module.key.arn
  reserved_concurrent_executions = 2

  environment {
    variables = {
      CACHES = jsonencode({ for name, cache in local.caches : aws_secretsmanager_secret.this[name].arn => cache })
    }
  }

  tracing_config {
    mode = "Active"
  }

  depends_on = [aws_cloudwatch_log_group.rotate]
}

resource "aws_lambda_permission" "rotate" {
  count = local.rotating

  function_name  = aws_lambda_function.rotate[0].function_name
  action         = "lambda:InvokeFunction"
  principal      = "secretsmanager.amazonaws.com"
  source_account = local.account
}
