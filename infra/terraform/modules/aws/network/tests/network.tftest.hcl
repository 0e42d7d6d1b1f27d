# Subnets and their ways out, and the values that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"

  name  = "thalweg-test"
  cidr  = "10.10.0.0/16"
  zones = ["us-east-1a", "us-east-1b", "us-east-1c"]
}

run "private_subnets_leave_by_nat_of_their_zone" {
  assert {
    condition     = alltrue([for zone, route in aws_route.private : route.nat_gateway_id == aws_nat_gateway.this[zone].id && route.gateway_id == null])
    error_message = "Each private subnet leaves through the NAT gateway of its own zone, none through the internet gateway."
  }
  assert {
    condition     = alltrue([for zone, link in aws_route_table_association.private : link.route_table_id == aws_route_table.private[zone].id])
    error_message = "Each private subnet has the routes of its zone."
  }
  assert {
    condition     = length(aws_route.private) == 3 && length(output.nat_addresses) == 3
    error_message = "Three zones have three ways out."
  }
}

run "data_subnets_have_no_way_out" {
  assert {
    condition     = alltrue([for route in concat(values(aws_route.private), [aws_route.public]) : route.route_table_id != aws_route_table.data.id])
    error_message = "No route leads out of the data subnets."
  }
  assert {
    condition     = alltrue([for link in aws_route_table_association.data : link.route_table_id == aws_route_table.data.id])
    error_message = "The data subnets have their own routes."
  }
}

run "no_subnet_gives_public_addresses" {
  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.data)) : subnet.map_public_ip_on_launch != true])
    error_message = "Machines get no public address by being started."
  }
}

run "flow_logs_are_kept_under_a_key" {
  assert {
    condition     = aws_cloudwatch_log_group.flow.kms_key_id == module.key.arn && aws_flow_log.this.traffic_type == "ALL"
    error_message = "All traffic is logged, under the customer key."
  }
}

run "single_nat_serves_three_zones" {
  variables {
    nat = "single"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.private) == 3
    error_message = "One NAT gateway serves all zones when so asked."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Thalweg"
  }
  expect_failures = [var.name]
}

run "wrong_cidr_is_refused" {
  command = plan
  variables {
    cidr = "10.10.0.0/20"
  }
  expect_failures = [var.cidr]
}

run "two_zones_are_refused" {
  command = plan
  variables {
    zones = ["us-east-1a", "us-east-1b", "us-east-1b"]
  }
  expect_failures = [var.zones]
}

run "wrong_nat_is_refused" {
  command = plan
  variables {
    nat = "none"
  }
  expect_failures = [var.nat]
}

run "wrong_retention_is_refused" {
  command = plan
  variables {
    flow_log_days = 7
  }
  expect_failures = [var.flow_log_days]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "thalweg-boundary"
  }
  expect_failures = [var.permissions_boundary]
}
