# What every cluster has, and what `compute` changes.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name          = "thalweg-test"
  network       = "vpc-1"
  subnets       = ["subnet-a", "subnet-b", "subnet-c"]
  services_cidr = "172.20.0.0/20"
  admins        = { platform = "arn:aws:iam::111122223333:role/platform" }
  viewers       = { on-call = "arn:aws:iam::111122223333:role/on-call" }

  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}

run "closed_logged_encrypted_protected" {
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "The API has a private endpoint only."
  }
  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.control_plane.kms_key_id == module.key.arn
    error_message = "All five logs are kept, under the cluster's key."
  }
  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == module.key.arn && aws_eks_cluster.this.deletion_protection
    error_message = "Secrets have a key; the cluster is not deleted by accident."
  }
  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "Rights come from access entries alone."
  }
}

run "rights_are_those_named" {
  assert {
    condition     = aws_eks_access_policy_association.this["admin-platform"].policy_arn == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    error_message = "An administrator administers."
  }
  assert {
    condition     = aws_eks_access_policy_association.this["viewer-on-call"].policy_arn == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy" && length(aws_eks_access_entry.this) == 2
    error_message = "A viewer reads, and no other principal has an entry."
  }
}

run "managed_nodes_are_hardened" {
  assert {
    condition     = alltrue([for disk in aws_launch_template.system[0].block_device_mappings : disk.ebs[0].encrypted == "true" && disk.ebs[0].kms_key_id == module.disks.arn])
    error_message = "Every disk is encrypted under the disks' key."
  }
  assert {
    condition     = aws_launch_template.system[0].metadata_options[0].http_tokens == "required" && aws_launch_template.system[0].metadata_options[0].http_put_response_hop_limit == 1
    error_message = "Pods cannot reach the node's credentials."
  }
  assert {
    condition     = aws_eks_node_group.system[0].scaling_config[0].min_size == 3 && aws_eks_node_group.system[0].node_repair_config[0].enabled
    error_message = "Three nodes at least, and broken ones are replaced."
  }
  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "Network policies are enforced."
  }
}

run "karpenter_touches_its_own_machines_only" {
  assert {
    condition = alltrue([
      for statement in local.karpenter : statement.Condition.StringEquals["aws:ResourceTag/kubernetes.io/cluster/thalweg-test"] == "owned"
      if try(contains(statement.Action, "ec2:TerminateInstances"), false)
    ])
    error_message = "Karpenter ends machines of this cluster only."
  }
  assert {
    condition     = length(aws_cloudwatch_event_target.interruptions) == 4 && output.interruption_queue == "thalweg-test-interruptions"
    error_message = "Four kinds of notice reach the queue."
  }
}

run "auto_mode_makes_all_nodes" {
  variables {
    compute = "auto"
  }
  assert {
    condition     = aws_eks_cluster.this.compute_config[0].enabled && aws_eks_cluster.this.storage_config[0].block_storage[0].enabled && aws_eks_cluster.this.kubernetes_network_config[0].elastic_load_balancing[0].enabled
    error_message = "Auto Mode has all three parts, or EKS refuses it."
  }
  assert {
    condition     = length(aws_eks_node_group.system) == 0 && length(aws_eks_addon.before_nodes) == 0 && length(aws_sqs_queue.interruptions) == 0
    error_message = "What is built in is not made a second time."
  }
  assert {
    condition     = contains(keys(aws_iam_role_policy_attachment.cluster), "AmazonEKSComputePolicy")
    error_message = "The cluster's role may make machines."
  }
}

run "a_few_addresses_may_reach_the_api" {
  variables {
    public_access_cidrs = ["198.51.100.0/28"]
    api_clients         = ["10.10.0.0/16"]
  }
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["198.51.100.0/28"]) && aws_vpc_security_group_ingress_rule.api["10.10.0.0/16"].from_port == 443
    error_message = "The API is open to those that are named."
  }
}
