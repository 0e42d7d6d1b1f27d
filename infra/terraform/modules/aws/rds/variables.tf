# One database.

variable "name" {
  description = "Name of the parts, or its start."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}


variable "network" {
  description = "The network that the database is in."
  type        = string
}

variable "subnets" {
  description = "Data subnets in at least two zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnets)) >= 2
    error_message = "Give data subnets in at least two zones: the standby is in another than the primary."
  }
}

variable "clients" {
  description = "Security groups that reach the database, by a name of your choice: that of the nodes."
  type        = map(string)

  validation {
    condition     = length(var.clients) > 0
    error_message = "Name at least one security group, or no client reaches the database."
  }
}

variable "engine_version" {
  description = "Major version of PostgreSQL; minor ones are applied in the maintenance window."
  type        = string
  default     = "17"

  validation {
    condition     = contains(["16", "17", "18"], var.engine_version)
    error_message = "Use PostgreSQL 16, 17 or 18."
  }
}

variable "instance_class" {
  description = "Size of primary and standby."
  type        = string
  default     = "db.t4g.medium"

  validation {
    condition     = startswith(var.instance_class, "db.")
    error_message = "An instance class is named like 'db.t4g.medium'."
  }
}

variable "storage_gib" {
  description = "Storage at first; it grows by itself to four times as much."
  type        = number
  default     = 50

  validation {
    condition     = var.storage_gib >= 20 && var.storage_gib <= 16384
    error_message = "gp3 storage has 20 to 16384 GiB."
  }
}

variable "multi_az" {
  description = "Whether a standby in another zone takes over within a minute or two."
  type        = bool
  default     = true
}

variable "backup_days" {
  description = "How many days can be gone back to, to the second."
  type        = number
  default     = 35

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35
    error_message = "Backups are kept for 7 to 35 days: fewer would not outlast a long weekend, RDS keeps no more."
  }
}

variable "copy_region" {
  description = "Region that gets a copy of backups and logs for recovery to a point in time; none if null."
  type        = string
  default     = null

  validation {
    condition     = var.copy_region == null ? true : can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.copy_region))
    error_message = "The copy is in a region named like 'eu-west-1'."
  }
}

variable "deletion_protection" {
  description = "Whether RDS refuses to delete the database."
  type        = bool
  default     = true
}

variable "permissions_boundary" {
  description = "Policy that bounds every role made here, from `bootstrap/aws`: without it the role that applies may make none."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:policy/", var.permissions_boundary))
    error_message = "The boundary is the ARN of a policy, such as 'arn:aws:iam::111122223333:policy/thalweg-boundary'."
  }
}
