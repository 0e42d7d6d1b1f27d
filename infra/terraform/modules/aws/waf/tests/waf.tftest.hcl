# Four rules that block or count, a log without secrets, and the values that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name = "thalweg-test"
}

run "four_rules_block" {
  assert {
    condition     = length(aws_wafv2_web_acl.this.rule) == 4 && alltrue([for rule in aws_wafv2_web_acl.this.rule : length(rule.action) == 0 ? length(rule.override_action[0].none) == 1 : length(rule.action[0].block) == 1])
    error_message = "Every rule acts."
  }
  assert {
    condition     = alltrue([for rule in aws_wafv2_web_acl.this.rule : rule.statement[0].rate_based_statement[0].aggregate_key_type == "FORWARDED_IP" if rule.name == "too-many-requests"])
    error_message = "Requests are counted per client, not per edge: an edge sends those of thousands."
  }
  assert {
    condition     = length(aws_wafv2_web_acl_logging_configuration.this.redacted_fields) == 3
    error_message = "Authorization, cookies and query strings are not logged."
  }
}

run "count_blocks_nothing" {
  variables {
    mode = "count"
  }
  assert {
    condition     = alltrue([for rule in aws_wafv2_web_acl.this.rule : length(rule.action) == 0 ? length(rule.override_action[0].count) == 1 : length(rule.action[0].block) == 0])
    error_message = "Counting refuses nothing."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Web ACL"
  }
  expect_failures = [var.name]
}

run "wrong_mode_is_refused" {
  command = plan
  variables {
    mode = "off"
  }
  expect_failures = [var.mode]
}

run "a_limit_of_one_is_refused" {
  command = plan
  variables {
    requests_per_minute = 1
  }
  expect_failures = [var.requests_per_minute]
}
