# State and identities for two environments, reachable from one self-hosted runner.
module "bootstrap" {
  source          = "../.."
  subscription_id = "00000000-0000-0000-0000-000000000000"
  accounts        = { state = "thalwegstate", audit = "thalwegaudit", vault = "thalweg-state" }
  repository      = "example/thalweg"
  environments = {
    development = { subscription_id = "00000000-0000-0000-0000-000000000001" }
    production  = { subscription_id = "00000000-0000-0000-0000-000000000003" }
  }
  runner_addresses = ["192.0.2.1"]
  administrators   = "00000000-0000-0000-0000-0000000000aa"
}
