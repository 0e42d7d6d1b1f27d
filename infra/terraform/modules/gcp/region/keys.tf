# Keys live where what they encrypt lives: in the region, in the backup region, and in the images' multi-region.

module "keys" {
  source = "../kms"

  project_id     = var.project_id
  project_number = var.project_number
  name           = local.name
  location       = var.region
  labels         = local.labels

  keys = {
    cluster  = ["gke"]
    nodes    = ["compute"]
    database = ["sql"]
    cache    = ["memorystore"]
    secrets  = ["secrets", "pubsub"]
  }
}

module "backup_keys" {
  source = "../kms"

  project_id     = var.project_id
  project_number = var.project_number
  name           = "${local.name}-backup"
  location       = var.backup_region
  labels         = local.labels
  keys           = { cluster = ["backup"], database = ["sql"] }
}

module "image_keys" {
  source = "../kms"

  project_id     = var.project_id
  project_number = var.project_number
  name           = "${local.name}-images"
  location       = var.images_location
  labels         = local.labels
  keys           = { images = ["artifact-registry"] }
}
