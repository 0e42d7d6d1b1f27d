# The rules in force.
output "rules" {
  description = "Rules in force, by cloud."
  value = {
    aws    = [for statement in try(jsondecode(local.scp).Statement, []) : statement.Sid]
    google = local.enforced
    azure  = sort(keys(local.denied))
  }
}
