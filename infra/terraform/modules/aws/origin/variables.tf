# Inputs: the clients of one region's application.

variable "name" {
  description = "Start of the parts' names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}

variable "network" {
  description = "The network that the balancer is in."
  type        = string
}

variable "edges" {
  description = "Fixed addresses from which the edges of all clouds send, by a name of your choice: the outputs `nat_addresses` of the networks."
  type        = map(string)

  validation {
    condition     = length(var.edges) > 0 && length(var.edges) <= 40
    error_message = "Name 1 to 40 addresses of edges: without any, no client reaches this region; the list holds no more than 40."
  }
  validation {
    condition     = alltrue([for address in var.edges : can(cidrhost(address, 0)) && try(tonumber(split("/", address)[1]) >= 28, false)])
    error_message = "An edge's address is a fixed one, like 192.0.2.10/32, or a block of at most 16: never a whole network."
  }
}

variable "node_security_group" {
  description = "Security group of the nodes, where the balancer is let in to node ports."
  type        = string
}

variable "web_acl" {
  description = "ARN of the web ACL for the balancer, from `modules/aws/waf`."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:wafv2:", var.web_acl))
    error_message = "The web ACL is an ARN such as 'arn:aws:wafv2:us-east-1:111122223333:regional/webacl/name/id'."
  }
}
