# Checks what the machine is told. What BIRD, the firewall and cloud-init say of the texts: infra/tests/test_terraform_bgp.py.
variables {
  name      = "edge-test-1"
  router_id = "192.0.2.10"
  as_number = 64500
  anycast   = { ipv4 = { prefix = "198.51.100.0/24", address = "198.51.100.80" } }
  neighbors = {
    upstream = { address = "192.0.2.1", source = "192.0.2.10", as_number = 64496 }
  }
  package     = { url = "https://packages.example.com/thalweg.deb", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  config      = "[[listener]]"
  admin_cidrs = []
}

run "nothing_is_announced_by_itself" {
  assert {
    condition     = strcontains(output.files["/etc/bird/bird.conf"], "protocol static anycast4 {\n    disabled;")
    error_message = "BIRD starts with the prefix withheld."
  }
  assert {
    condition     = strcontains(output.files["/etc/systemd/system/thalweg-announce.service"], "ExecStopPost=-/usr/sbin/birdc disable anycast4")
    error_message = "The end of the follower withholds the prefix."
  }
  assert {
    condition     = !strcontains(output.files["/etc/bird/bird.conf"], "anycast6") && !strcontains(output.files["/etc/nftables.conf"], "dport 22")
    error_message = "A family without a prefix is not there, nor is SSH without administrators."
  }
}

run "no_secret_and_small_enough" {
  assert {
    condition     = !strcontains(output.user_data, "password \"") && strcontains(output.files["/etc/bird/bird.conf"], "/etc/bird/secret-upstream.con[f]")
    error_message = "Passwords of sessions are read from files on the machine."
  }
  assert {
    condition     = length(output.user_data_gzip) < 16384
    error_message = "Compressed, the text fits where user data is limited to 16 KB."
  }
}

run "communities_and_prepends" {
  variables {
    neighbors = { upstream = { address = "192.0.2.1", source = "192.0.2.10", as_number = 64496, communities = ["64496:666"], prepend = 2 } }
  }
  assert {
    condition     = strcontains(output.files["/etc/bird/bird.conf"], "bgp_community.add((64496, 666));\n    bgp_path.prepend(64500);\n    bgp_path.prepend(64500);\n    accept;")
    error_message = "The route is marked and made less wanted."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Edge_1"
  }
  expect_failures = [var.name]
}

run "refuses_a_router_id_that_is_no_address" {
  command = plan
  variables {
    router_id = "edge-1"
  }
  expect_failures = [var.router_id]
}

run "refuses_the_placeholder_as" {
  command = plan
  variables {
    as_number = 23456
  }
  expect_failures = [var.as_number]
}

run "refuses_a_prefix_that_the_internet_filters" {
  command = plan
  variables {
    anycast = { ipv4 = { prefix = "198.51.100.0/25", address = "198.51.100.80" } }
  }
  expect_failures = [var.anycast]
}

run "refuses_an_address_outside_its_prefix" {
  command = plan
  variables {
    anycast = { ipv4 = { prefix = "198.51.100.0/24", address = "198.51.100.80" }, ipv6 = { prefix = "2001:db8:100::/48", address = "2001:db8:200::80" } }
  }
  expect_failures = [var.anycast]
}

run "refuses_no_neighbor" {
  command = plan
  variables {
    neighbors = {}
  }
  expect_failures = [var.neighbors]
}

run "refuses_two_families_in_one_session" {
  command = plan
  variables {
    neighbors = { up = { address = "192.0.2.1", source = "2001:db8::10", as_number = 64496 } }
  }
  expect_failures = [var.neighbors]
}

run "refuses_a_bad_community" {
  command = plan
  variables {
    neighbors = { up = { address = "192.0.2.1", source = "192.0.2.10", as_number = 64496, communities = ["no-export"] } }
  }
  expect_failures = [var.neighbors]
}

run "refuses_too_much_prepend" {
  command = plan
  variables {
    neighbors = { up = { address = "192.0.2.1", source = "192.0.2.10", as_number = 64496, prepend = 9 } }
  }
  expect_failures = [var.neighbors]
}

run "refuses_a_session_without_a_prefix" {
  command = plan
  variables {
    neighbors = { up = { address = "2001:db8::1", source = "2001:db8::10", as_number = 64496 } }
  }
  expect_failures = [var.neighbors]
}

run "refuses_readyz_over_tls" {
  command = plan
  variables {
    follow = { readyz = "https://edge/readyz" }
  }
  expect_failures = [var.follow]
}

run "refuses_a_hasty_interval" {
  command = plan
  variables {
    follow = { interval_ms = 10 }
  }
  expect_failures = [var.follow]
}

run "refuses_a_hasty_return" {
  command = plan
  variables {
    follow = { announce_after_s = 1 }
  }
  expect_failures = [var.follow]
}

run "refuses_a_package_without_its_sum" {
  command = plan
  variables {
    package = { url = "https://packages.example.com/thalweg.deb", sha256 = "" }
  }
  expect_failures = [var.package]
}

run "refuses_a_private_key_in_the_config" {
  command = plan
  variables {
    config = "[[listener]] -----BEGIN PRIVATE KEY-----"
  }
  expect_failures = [var.config]
}

run "refuses_ssh_for_all" {
  command = plan
  variables {
    admin_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.admin_cidrs]
}
