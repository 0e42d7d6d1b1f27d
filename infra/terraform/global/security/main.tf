# Rules that hold whoever acts, the pipeline and administrators included: no long-lived key is made, nothing is public by
# accident, no region is used that nobody watches, evidence is not switched off. They sit above accounts, projects and
# subscriptions, so a person who administers the organisations applies this.
#
# What watches inside an AWS account (GuardDuty, Access Analyzer, the trail) is in modules/aws/audit.
