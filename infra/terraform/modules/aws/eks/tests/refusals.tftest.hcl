# Values that are refused before anything is asked of AWS.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name          = "thalweg-test"
  network       = "vpc-1"
  subnets       = ["subnet-a", "subnet-b", "subnet-c"]
  services_cidr = "172.20.0.0/20"
  admins        = { platform = "arn:aws:iam::111122223333:role/platform" }

  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Thalweg Production"
  }
  expect_failures = [var.name]
}

run "old_version_is_refused" {
  command = plan
  variables {
    kubernetes_version = "1.28"
  }
  expect_failures = [var.kubernetes_version]
}

run "two_subnets_is_refused" {
  command = plan
  variables {
    subnets = ["subnet-a", "subnet-b"]
  }
  expect_failures = [var.subnets]
}

run "wrong_services_is_refused" {
  command = plan
  variables {
    services_cidr = "100.64.0.0/20"
  }
  expect_failures = [var.services_cidr]
}

run "wrong_compute_is_refused" {
  command = plan
  variables {
    compute = "fargate"
  }
  expect_failures = [var.compute]
}

run "one_node_is_refused" {
  command = plan
  variables {
    system_nodes = { min = 1 }
  }
  expect_failures = [var.system_nodes]
}

run "wrong_architecture_is_refused" {
  command = plan
  variables {
    system_nodes = { architecture = "riscv" }
  }
  expect_failures = [var.system_nodes]
}

run "no_administrator_is_refused" {
  command = plan
  variables {
    admins = {}
  }
  expect_failures = [var.admins]
}

run "a_user_as_viewer_is_refused" {
  command = plan
  variables {
    viewers = { bob = "arn:aws:iam::111122223333:user/bob" }
  }
  expect_failures = [var.viewers]
}

run "the_whole_internet_is_refused" {
  command = plan
  variables {
    public_access_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.public_access_cidrs]
}

run "every_client_is_refused" {
  command = plan
  variables {
    api_clients = ["0.0.0.0/0"]
  }
  expect_failures = [var.api_clients]
}

run "short_logs_is_refused" {
  command = plan
  variables {
    log_days = 1
  }
  expect_failures = [var.log_days]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "boundary"
  }
  expect_failures = [var.permissions_boundary]
}
