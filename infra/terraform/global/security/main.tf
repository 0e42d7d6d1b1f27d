# Rules that bind every principal, the pipeline and administrators included: no long-lived keys, no accidental public access,
# known regions only, audit trails stay on. The rules sit above accounts, projects and subscriptions, so an administrator of
# the organisations applies this module.
#
# GuardDuty, Access Analyzer and the trail of an AWS account are in modules/aws/audit.
