# The roles of GitHub's workflows. A role trusts one repository in one GitHub environment. The rules of that environment
# decide about branches and reviewers.

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  trust = {
    for role, environment in {
      plan    = "${var.environment}-plan"
      apply   = var.environment
      publish = "${var.environment}-publish"
      } : role => jsonencode({
        Version = "2012-10-17"
        Statement = [{
          Effect    = "Allow"
          Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
          Action    = "sts:AssumeRoleWithWebIdentity"
          Condition = {
            StringEquals = {
              "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
              "token.actions.githubusercontent.com:sub" = "repo:${var.repository}:environment:${environment}"
            }
          }
        }]
    })
  }
  state     = "arn:${local.partition}:s3:::${local.buckets.state.name}"
  state_key = aws_kms_key.state["state"].arn
  read_state = [
    { Sid = "StateList", Effect = "Allow", Action = "s3:ListBucket", Resource = local.state },
    { Sid = "StateRead", Effect = "Allow", Action = "s3:GetObject", Resource = "${local.state}/*" },
    { Sid = "StateLock", Effect = "Allow", Action = ["s3:PutObject", "s3:DeleteObject"], Resource = "${local.state}/*.tflock" },
    { Sid = "StateKey", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = local.state_key },
  ]
}

resource "aws_iam_role" "plan" {
  name                 = "thalweg-plan"
  description          = "Plans ${var.environment}; reads only"
  assume_role_policy   = local.trust.plan
  permissions_boundary = aws_iam_policy.boundary.arn
  max_session_duration = 3600
}

resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.plan.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/ReadOnlyAccess"
}

# A plan compares settings. It needs no stored data except the state, so the role denies reading it.
resource "aws_iam_role_policy" "plan" {
  name = "state-but-no-contents"
  role = aws_iam_role.plan.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.read_state, [
      {
        Sid         = "NoObjects"
        Effect      = "Deny"
        Action      = ["s3:GetObject*"]
        NotResource = ["${local.state}/*"]
      },
      {
        Sid         = "NoKeys"
        Effect      = "Deny"
        Action      = "kms:Decrypt"
        NotResource = [local.state_key]
      },
      {
        Sid    = "NoContents"
        Effect = "Deny"
        Action = [
          "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer",
          "logs:FilterLogEvents", "logs:GetLogEvents", "logs:GetQueryResults", "logs:StartQuery",
          "secretsmanager:GetSecretValue", "sqs:ReceiveMessage", "ssm:GetParameter*",
        ]
        Resource = "*"
      },
    ])
  })
}

resource "aws_iam_role" "publish" {
  name                 = "thalweg-publish"
  description          = "Pushes images to ${var.environment}"
  assume_role_policy   = local.trust.publish
  permissions_boundary = aws_iam_policy.boundary.arn
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "publish" {
  name = "push"
  role = aws_iam_role.publish.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # AWS defines no resource for this action.
      { Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
      {
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
          "ecr:DescribeImageScanFindings", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage",
          "ecr:UploadLayerPart",
        ]
        Resource = "arn:${local.partition}:ecr:*:${local.account}:repository/thalweg/*"
      },
    ]
  })
}

resource "aws_iam_service_linked_role" "this" {
  for_each = var.service_linked_roles

  aws_service_name = each.value
}
